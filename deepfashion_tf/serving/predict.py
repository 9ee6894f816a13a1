"""Answers for photographs: any images in, a table or a file out, what cannot be read told."""

import contextlib
import csv
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from deepfashion_tf.command_line import import_tensorflow
from deepfashion_tf.data.table_options import CsvDialect
from deepfashion_tf.errors import InputError, counted
from deepfashion_tf.escaping import cell_text, read_cell
from deepfashion_tf.files import is_folder, whole_or_nothing
from deepfashion_tf.inference.acceptance import check_shares, thresholds
from deepfashion_tf.inference.answers import Wanted, answers_of
from deepfashion_tf.inference.batch import Batch
from deepfashion_tf.inference.calibration import decide
from deepfashion_tf.inference.inputs import box_of
from deepfashion_tf.inference.items import (
    Box,
    Found,
    Item,
    find_items,
    has_boxes,
    items_of,
    kept_columns,
)
from deepfashion_tf.inference.predictor import Predictor
from deepfashion_tf.inference.tally import Tally
from deepfashion_tf.outputs import check_outputs, is_within
from deepfashion_tf.progress import PlainConsole, console, count_aside, make_progress
from deepfashion_tf.runs.config import CONFIG_FILE
from deepfashion_tf.runs.run import MODEL_FILE, Run
from deepfashion_tf.serving.answer_files import Terminal, Writer, check_output, open_writer
from deepfashion_tf.serving.products import Products, grouped

_SHOWN = 20  # faults that the terminal names


def parse_box(text: str, name: str = "--box") -> Box:
    """Reads ``x1,y1,x2,y2`` in half-open pixels.

    Raises:
        InputError: not four whole numbers, or no area.
    """
    if not re.fullmatch(r" *-?[0-9]{1,9} *(, *-?[0-9]{1,9} *){3}", text, re.ASCII):
        raise InputError(f"{name} {text!r} is not x1,y1,x2,y2: give four whole numbers.")
    return box_of([int(value) for value in text.split(",")], f"{name} {text}")


class Options(Protocol):
    """The options of `deepfashion predict`, those of tables included."""

    run: Path
    images: tuple[str, ...]
    box: str | None
    data: str | None
    schema: Path | None
    split: str
    output: Path | None
    top: int
    threshold: float | None
    accept_accuracy: float | None
    engine: str
    exact: bool
    embed: Path | None
    explain: Path | None
    keep_columns: tuple[str, ...]
    csv_dialect: CsvDialect
    group_by: str | None


def predict_command(options: Options) -> int:
    """Does what `deepfashion predict` is asked for, and gives its exit code.

    Raises:
        InputError: the options, the model or all of the images cannot be used.
    """
    _check(options)
    kept = kept_columns(options.images, options.keep_columns, options, options.group_by)
    if options.data is not None:
        run = Run.load(options.run)
        items = items_of(run.read_split(options.split, options.data, options.schema))
    else:
        box = parse_box(options.box) if options.box is not None else None
        items = find_items(options.images, box, options, None, kept, options.group_by)
    predictor = Predictor.load(options.run, options.engine, options.exact)
    predictor.accept_damaged = options.accept_damaged
    least = thresholds(predictor, options.threshold, options.accept_accuracy)
    wanted = Wanted.of(predictor, least, options.top, has_boxes(options.images), kept)
    others: list[Writer] = []
    if options.explain:
        others.append(Montages(predictor, wanted, options.explain))
    if options.embed is None:
        return predict(predictor, items, wanted, _output(options), others)
    import_tensorflow()  # another engine answers without it
    from deepfashion_tf.serving.similar import EmbeddingsWriter

    with EmbeddingsWriter(_run_of(options.run), options.embed) as embeddings:
        code = predict(predictor, items, wanted, _output(options), [*others, embeddings])
    console.print(f"Features: {options.embed}", soft_wrap=True)
    return code


@dataclass(frozen=True)
class Output:
    """A file of answers.

    Attributes:
        path: as `open_writer` takes it.
        dialect: of CSV.
        is_grouped: whether it has a row a product, not a row a photograph.
    """

    path: Path
    dialect: CsvDialect = "comma"
    is_grouped: bool = False

    @contextlib.contextmanager
    def opened(self, wanted: Wanted) -> Iterator[Writer]:
        """Opens the writer of the file, which appears when the block ends."""
        if not self.is_grouped:
            with open_writer(self.path, wanted, self.dialect) as writer:
                yield writer
            return
        wanted = grouped(wanted)
        with open_writer(self.path, wanted, self.dialect) as writer:
            products = Products(writer, wanted)
            yield products
            console.print(f"{counted(products.finish(), 'product')}", style="dim")


def _output(options: Options) -> Output | None:
    if not options.output:
        return None
    return Output(options.output, options.csv_dialect, options.group_by is not None)


def _run_of(path: Path) -> Run:
    """Opens the run that a path names; an export has no features.

    Raises:
        InputError: it names an export.
    """
    if not (path / CONFIG_FILE).is_file() and path.name != MODEL_FILE:
        raise InputError(f"--embed needs a run directory, and {path} is none.")
    return Run.load(path if path.is_dir() else path.parent)


def _check(options: Options) -> None:
    if options.output:
        check_output(options.output)
    check_outputs(
        {
            "--output": options.output,
            "The faults of --output,": options.output and faults_path(options.output),
            "--explain": options.explain,
            "--embed": options.embed,
        },
        [*options.images, options.data, options.schema],
        [options.run],
    )
    for folder in filter(is_folder, options.images):
        if options.explain and is_within(options.explain, folder):
            raise InputError(
                f"--explain {options.explain} lies in {folder}, whose images are read: name a "
                f"folder outside of it."
            )
    if options.group_by is not None and not options.output:
        raise InputError("--group-by writes a row a product: name a file with --output.")
    if options.csv_dialect != "comma" and (not options.output or options.output.suffix != ".csv"):
        raise InputError(
            f"--csv-dialect {options.csv_dialect} is a form of .csv: name such a file with "
            f"--output, or leave it out."
        )
    if options.data is not None and (options.keep_columns or options.group_by is not None):
        raise InputError(
            "--keep-columns and --group-by need a table of images: name it in place of --data."
        )
    if options.data is not None and (options.images or options.box is not None):
        raise InputError("--data brings images and boxes of its own: leave the others out.")
    if options.top < 1:
        raise InputError(f"--top is {options.top}, but must be 1 or more.")
    check_shares(options.threshold, options.accept_accuracy)


class Montages:
    """Writes a picture of each image's answers and of what they hang on into a folder.

    Args:
        predictor: a run, not an export.
        wanted: how answers are given.
        folder: is made if it is not there.

    Raises:
        InputError: the predictor is an export.
    """

    def __init__(self, predictor: Predictor, wanted: Wanted, folder: Path) -> None:
        from deepfashion_tf.colours import colours

        self._explainer = predictor.explainer()
        self._wanted, self._folder, self._count = wanted, folder, 0
        self._colours = colours(list(wanted.schema.groups))
        folder.mkdir(parents=True, exist_ok=True)

    def write(self, batch: Batch) -> None:
        """Takes a batch: ``000012-NAME.jpg`` is of the 12th image that was answered."""
        from deepfashion_tf.inference.montage import draw_montage

        heats, looks = {}, {}
        if len(batch.crops):
            given = {
                category: decide(values, self._wanted.decisions.get(category))
                for category, values in batch.probabilities.items()
            }
            heats = self._explainer.explain(batch.crops, given)
            looks = self._explainer.look(batch.crops)
        for row, (item, answers) in enumerate(answers_of(batch, self._wanted)):
            self._count += 1
            told = {
                category: (answer.attribute or "not learnt", answer.probability)
                for category, answer in answers.items()
            }
            maps = {category: heats[a.part][row] for category, a in answers.items()}
            looked = {category: looks[a.part][row] for category, a in answers.items() if looks}
            picture = draw_montage(batch.crops[row], maps, told, self._colours, looked)
            name = "".join(c if c.isalnum() or c in "-_." else "_" for c in Path(item.image).stem)
            path = self._folder / f"{self._count:06d}-{name[:100]}.jpg"
            with whole_or_nothing(path) as temporary:
                picture.save(temporary, quality=90)


def predict(
    predictor: Predictor,
    items: Iterable[Item],
    wanted: Wanted,
    output: Path | Output | None = None,
    others: Sequence[Writer] = (),
) -> int:
    """Answers for images, writes the answers, and lists what could not be read at the end.

    Args:
        predictor: the model.
        items: the images.
        wanted: how answers are given.
        output: the file, as `open_writer` takes it, or more of it; None = the terminal.
        others: take each batch too, such as `Montages`.

    Returns:
        The exit code: 1 where some images could not be answered.

    Raises:
        InputError: no image could be answered at all.
    """
    output = Output(output) if isinstance(output, Path) else output
    with Faults(output and output.path) as faults:
        if output is None:
            count = _write_all(predictor, items, [Terminal(wanted), *others], faults)
        else:
            with output.opened(wanted) as writer:
                count = _write_all(predictor, items, [writer, *others], faults)
                if not count:
                    raise faults.nothing()
        if not count:
            raise faults.nothing()
    if output:
        console.print(f"{count} predictions: {output.path}", soft_wrap=True)
    console.print(f"answered by {predictor.engine}", style="dim")
    faults.tell()
    came = items.tally if isinstance(items, Found) else Tally(files=count + faults.count)
    for line in came.with_answers(faults.tally).lines():
        console.print(line, style="dim", soft_wrap=True)
    return 1 if faults.count else 0


class Faults:
    """What could not be answered: the first ones are kept, all go to a file where there are more.

    Args:
        output: of the answers; `faults_path` of it is written, or removed where it would be old.
            None = the others are only counted.

    Attributes:
        count: of the images that could not be answered.
        tally: of all images, by what was wrong with them.
    """

    def __init__(self, output: Path | None) -> None:
        self.count, self.tally = 0, Tally()
        self._path = output and faults_path(output)
        self._first: list[tuple[str, str]] = []
        self._file = contextlib.ExitStack()
        self._writer = None

    def __enter__(self) -> "Faults":
        self._file.__enter__()
        return self

    def __exit__(self, *error) -> None:
        self._file.__exit__(*error)
        if self._path and self._writer is None and error[0] is None:
            self._path.unlink(missing_ok=True)

    def add(self, batch: Batch) -> None:
        """Takes a batch's faults."""
        self.tally.add(batch.faults)
        for item, fault in zip(batch.items, batch.faults, strict=True):
            if not fault:
                continue
            self.count += 1
            row = cell_text(item.image), cell_text(fault)
            if len(self._first) < _SHOWN:
                self._first.append(row)
            elif self._path:
                self._write(row)

    def _write(self, row: tuple[str, str]) -> None:
        if self._writer is None:
            temporary = self._file.enter_context(whole_or_nothing(self._path))
            file = self._file.enter_context(temporary.open("w", encoding="utf-8", newline=""))
            self._writer = csv.writer(file, lineterminator="\n")
            self._writer.writerows([("image", "reason"), *self._first])
        self._writer.writerow(row)

    def tell(self) -> None:
        """Prints the first faults, how many more there are, and where all of them stand."""
        if not self.count:
            return
        told = PlainConsole(stderr=True)
        told.print(f"{self.count} could not be answered:", soft_wrap=True)
        for fault in self._sentences():
            told.print(f"  {fault}", soft_wrap=True)
        if more := self.count - len(self._first):
            where = f": {self._path} names all" if self._path else "; --output writes their names"
            told.print(f"  … and {more} more{where}", soft_wrap=True)

    def nothing(self) -> InputError:
        """Makes the error that no image could be answered."""
        some = self._sentences()[:10]
        more = self.count - len(some)
        reasons = "; ".join([*some, *([f"… and {more} more"] if more else [])])
        return InputError(f"Nothing was predicted: {reasons or 'there was no image'}.")

    def _sentences(self) -> list[str]:
        return [f"{read_cell(image)} {read_cell(fault)}" for image, fault in self._first]


def faults_path(output: Path) -> Path:
    """Names the table of what could not be answered, beside the answers."""
    return output.with_name(f"{output.name}.faults.csv")


def _write_all(
    predictor: Predictor,
    items: Iterable[Item],
    writers: Sequence[Writer],
    faults: Faults,
) -> int:
    count = 0
    with make_progress() as progress:
        task = progress.add_task("predicting", total=None)
        count_aside(progress, task, items)
        for batch in predictor.stream(items):
            for writer in writers:
                writer.write(batch)
            faults.add(batch)
            count += len(batch.answered)
            progress.update(task, advance=len(batch.items))
    return count
