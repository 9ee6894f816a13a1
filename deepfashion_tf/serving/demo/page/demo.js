// The page asks nobody but the server that it came from.
const byId = (id) => document.getElementById(id);
const spaced = (name) => name.replaceAll("_", " ");

const shown = { file: null, box: null, drawn: {}, heatMaps: null };
const cards = new Map();
let about = null;
let asking = new AbortController();

async function post(path, file, box, signal) {
  const query = box ? `?box=${box.join(",")}` : "";
  let response;
  try {
    response = await fetch(path + query, { method: "POST", body: file, signal });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Error("The server does not answer: see whether it still runs.");
  }
  const told = await response.json().catch(() => ({}));
  if (!response.ok) throw new Error(told.fault ?? "The demo is busy: try again in a moment.");
  return told;
}

// --- a picture comes in ---

async function take(file, box = null, drawn = {}) {
  asking.abort();
  asking = new AbortController();
  const { signal } = asking;
  if (file.size > about.max_megabytes * 1e6) {
    const megabytes = (file.size / 1e6).toFixed(1);
    return refuse(`The picture has ${megabytes} MB, and this demo takes ` +
      `${about.max_megabytes} MB at most: make it smaller.`);
  }
  byId("cards").classList.add("waiting");
  byId("status").textContent = "Looking at it …";
  const started = performance.now();
  try {
    const answers = await post("answers", file, box, signal);
    // Only what the server has taken is given to the browser's own decoder.
    show(file, box, drawn);
    fill(answers);
    const seconds = ((performance.now() - started) / 1000).toFixed(2);
    const part = box ? "the marked part" : "the whole picture";
    const marked = Object.keys(drawn).length ? " ✓ stands where it was drawn so." : "";
    byId("status").textContent = `Answers for ${part}, after ${seconds} s.${marked}`;
    for (const [category, card] of cards) if (card.switch.checked) toggle(category);
  } catch (error) {
    if (error.name !== "AbortError") refuse(error.message);
  }
}

function refuse(sentence) {
  byId("cards").classList.remove("waiting");
  byId("status").textContent = shown.file ? "These answers are of the picture shown." :
    "Answers appear here.";
  byId("fault").textContent = sentence;
  byId("fault").hidden = false;
  byId("fault").scrollIntoView({ block: "nearest" });
  drawBox(shown.box);
}

function show(file, box, drawn) {
  byId("fault").hidden = true;
  if (file !== shown.file) {
    URL.revokeObjectURL(byId("photograph").src);
    byId("photograph").src = URL.createObjectURL(file);
    byId("stage").hidden = byId("tools").hidden = false;
  }
  Object.assign(shown, { file, box, drawn, heatMaps: null });
  drawBox(box);
}

// --- answers ---

function makeCards() {
  const columns = [document.createElement("div"), document.createElement("div")];
  byId("cards").append(...columns);
  const half = Math.ceil(about.categories.length / 2);
  for (const [index, category] of about.categories.entries()) {
    const { name, colour, told, is_doubtful, is_learnt } = category;
    const card = byId("card").content.firstElementChild.cloneNode(true);
    const [list, figure, input] = ["ol", "figure", "input"].map((tag) => card.querySelector(tag));
    card.dataset.category = name;
    card.style.setProperty("--colour", colour);
    card.classList.toggle("doubtful", is_doubtful);
    card.querySelector("h2").textContent = spaced(name);
    card.querySelector(".told").textContent = told;
    input.setAttribute("aria-label", `where it looks for ${spaced(name)}`);
    input.addEventListener("change", () => toggle(name));
    figure.firstElementChild.alt = `Heat map of ${spaced(name)}`;
    const label = card.querySelector(".switch");
    cards.set(name, { list, figure, label, switch: input, canExplain: is_learnt });
    columns[index < half ? 0 : 1].append(card);
  }
}

function fill(answers) {
  byId("cards").classList.remove("waiting");
  for (const [category, ranked] of Object.entries(answers)) {
    const card = cards.get(category);
    card.label.hidden = Boolean(about.no_heat_maps) || !card.canExplain;
    card.figure.hidden = true;
    card.list.replaceChildren(...ranked.map(({ attribute, probability }) => {
      const [row, name, bar, share] = ["li", "span", "span", "span"].map((tag) =>
        document.createElement(tag));
      name.textContent = spaced(attribute);
      if (shown.drawn[category] === attribute) name.append(" ✓");
      bar.className = "bar";
      bar.append(document.createElement("i"));
      bar.style.setProperty("--share", `${100 * probability}%`);
      share.textContent = `${(100 * probability).toFixed(1)}%`;
      row.append(name, bar, share);
      return row;
    }));
  }
}

async function toggle(category) {
  const card = cards.get(category);
  if (!card.switch.checked) {
    card.figure.hidden = true;
    return;
  }
  const { signal } = asking;
  // One request brings the maps of all categories.
  shown.heatMaps ??= post("heat-maps", shown.file, shown.box, signal);
  const asked = shown.heatMaps;
  try {
    const maps = await asked;
    if (asked !== shown.heatMaps || !card.switch.checked) return;
    card.figure.firstElementChild.src = maps[category];
    card.figure.hidden = false;
  } catch (error) {
    if (error.name === "AbortError" || asked !== shown.heatMaps) return;
    card.switch.checked = false;
    shown.heatMaps = null;
    refuse(error.message);
  }
}

// --- the box, in pixels of the upright picture ---

function drawBox(box) {
  const { naturalWidth: width, naturalHeight: height } = byId("photograph");
  byId("box").hidden = !box || !width;
  for (const [index, name] of ["x1", "y1", "x2", "y2"].entries()) {
    byId("corners").elements[name].value = box ? box[index] : "";
  }
  if (byId("box").hidden) return;
  const [x1, y1, x2, y2] = box;
  Object.assign(byId("box").style, {
    left: `${(100 * x1) / width}%`, top: `${(100 * y1) / height}%`,
    width: `${(100 * (x2 - x1)) / width}%`, height: `${(100 * (y2 - y1)) / height}%`,
  });
}

function place(event) {
  const { naturalWidth: width, naturalHeight: height } = byId("photograph");
  const frame = byId("photograph").getBoundingClientRect();
  const within = (value, most) => Math.min(Math.max(Math.round(value), 0), most);
  return [
    within(((event.clientX - frame.left) / frame.width) * width, width),
    within(((event.clientY - frame.top) / frame.height) * height, height),
  ];
}

function span([ax, ay], [bx, by]) {
  return [Math.min(ax, bx), Math.min(ay, by), Math.max(ax, bx), Math.max(ay, by)];
}

function arm(isArmed) {
  byId("stage").classList.toggle("armed", isArmed);
  byId("mark").setAttribute("aria-pressed", isArmed);
  byId("mark").textContent = isArmed ? "Drag over it" : "Mark the garment";
}

function listenToDrags() {
  const stage = byId("stage");
  let start = null;
  stage.addEventListener("pointerdown", (event) => {
    // A finger scrolls the page until it is told to draw; a mouse has nothing else to do here.
    if (event.pointerType === "touch" && !stage.classList.contains("armed")) return;
    event.preventDefault();
    stage.setPointerCapture(event.pointerId);
    start = place(event);
  });
  stage.addEventListener("pointermove", (event) => {
    if (start) drawBox(span(start, place(event)));
  });
  stage.addEventListener("pointerup", (event) => {
    if (!start) return;
    const [x1, y1, x2, y2] = span(start, place(event));
    start = null;
    // Less than that is a click.
    if (Math.min(x2 - x1, y2 - y1) < 4) return drawBox(shown.box);
    arm(false);
    take(shown.file, [x1, y1, x2, y2], shown.drawn);
  });
  stage.addEventListener("pointercancel", () => {
    start = null;
    drawBox(shown.box);
  });
}

// --- start ---

function listen() {
  byId("file").addEventListener("change", ({ target }) => {
    if (target.files.length) take(target.files[0]);
    target.value = "";
  });
  document.addEventListener("dragover", (event) => {
    event.preventDefault();
    byId("drop").classList.add("over");
  });
  document.addEventListener("dragleave", () => byId("drop").classList.remove("over"));
  document.addEventListener("drop", (event) => {
    event.preventDefault();
    byId("drop").classList.remove("over");
    if (event.dataTransfer.files.length) take(event.dataTransfer.files[0]);
  });
  document.addEventListener("paste", ({ clipboardData }) => {
    if (clipboardData.files.length) take(clipboardData.files[0]);
  });
  byId("photograph").addEventListener("load", () => drawBox(shown.box));
  byId("mark").addEventListener("click", () => arm(!byId("stage").classList.contains("armed")));
  byId("whole").addEventListener("click", () => take(shown.file, null, shown.drawn));
  byId("corners").addEventListener("submit", (event) => {
    event.preventDefault();
    take(shown.file, [...new FormData(event.target).values()], shown.drawn);
  });
  listenToDrags();
}

function makeExamples() {
  for (const [index, { box, drawn }] of about.examples.entries()) {
    const [button, image] = ["button", "img"].map((tag) => document.createElement(tag));
    image.src = `examples/${index}.jpg`;
    image.alt = `drawing ${index + 1}`;
    button.type = "button";
    button.append(image);
    button.addEventListener("click", async () => {
      take(await (await fetch(image.src)).blob(), box, drawn);
    });
    byId("examples").append(button);
  }
}

async function start() {
  about = await (await fetch("about")).json();
  document.title = `Garment attributes – ${about.name}`;
  byId("name").textContent = about.name;
  byId("measured").textContent = about.measured;
  byId("trained-on").textContent = about.trained_on;
  byId("limit").textContent = `${about.max_megabytes} MB`;
  byId("no-heat-maps").textContent = about.no_heat_maps;
  byId("no-heat-maps").hidden = !about.no_heat_maps;
  makeCards();
  makeExamples();
  listen();
}

start();
