"""Answers for photographs: any images in, a table or a file out, what cannot be read told."""

import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Protocol

from deepfashion_tf.errors import InputError, list_some, printable
from deepfashion_tf.evaluation.curves import colours
from deepfashion_tf.files import is_folder, whole_or_nothing
from deepfashion_tf.inference.batch import Batch
from deepfashion_tf.inference.items import Box, Found, Item, find_items, has_boxes, items_of
from deepfashion_tf.inference.montage import draw_montage
from deepfashion_tf.inference.predictor import Predictor
from deepfashion_tf.inference.tally import Tally
from deepfashion_tf.outputs import check_outputs, is_within
from deepfashion_tf.progress import PlainConsole, console, count_aside, make_progress
from deepfashion_tf.serving.acceptance import check_shares, thresholds
from deepfashion_tf.serving.answer_files import (
    Terminal,
    Wanted,
    Writer,
    answers_of,
    check_output,
    open_writer,
)
from deepfashion_tf.training.run import Run


def parse_box(text: str, name: str = "--box") -> Box:
    """Reads ``x1,y1,x2,y2`` in half-open pixels.

    Raises:
        InputError: not four whole numbers, or no area.
    """
    if not re.fullmatch(r" *-?[0-9]{1,9} *(, *-?[0-9]{1,9} *){3}", text, re.ASCII):
        raise InputError(f"{name} {text!r} is not x1,y1,x2,y2: give four whole numbers.")
    x1, y1, x2, y2 = map(int, text.split(","))
    if min(x1, y1) < 0 or x1 >= x2 or y1 >= y2:
        raise InputError(f"{name} {text} has no area inside an image: 0 <= x1 < x2, 0 <= y1 < y2.")
    return x1, y1, x2, y2


class Options(Protocol):
    """The options of scripts/predict.py, those of tables included."""

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
    explain: Path | None


def predict_command(options: Options) -> int:
    """Does what scripts/predict.py is asked for, and gives its exit code.

    Raises:
        InputError: the options, the model or all of the images cannot be used.
    """
    _check(options)
    if options.data is not None:
        run = Run.load(options.run)
        items = items_of(run.read_split(options.split, options.data, options.schema))
    else:
        box = parse_box(options.box) if options.box is not None else None
        items = find_items(options.images, box, options)
    predictor = Predictor.load(options.run, options.engine)
    predictor.accept_damaged = options.accept_damaged
    wanted = Wanted(
        predictor.schema,
        predictor.untrained,
        thresholds(predictor, options.threshold, options.accept_accuracy),
        options.top,
        with_boxes=has_boxes(options.images),
    )
    montages = Montages(predictor, wanted, options.explain) if options.explain else None
    return predict(predictor, items, wanted, options.output, montages)


def _check(options: Options) -> None:
    if options.output:
        check_output(options.output)
    check_outputs(
        {"--output": options.output, "--explain": options.explain},
        [*options.images, options.data, options.schema],
        [options.run],
    )
    for folder in filter(is_folder, options.images):
        if options.explain and is_within(options.explain, folder):
            raise InputError(
                f"--explain {options.explain} lies in {folder}, whose images are read: name a "
                f"folder outside of it."
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
        self._explainer = predictor.explainer()
        self._wanted, self._folder, self._count = wanted, folder, 0
        self._colours = colours(list(wanted.schema))
        folder.mkdir(parents=True, exist_ok=True)

    def write(self, batch: Batch) -> None:
        """Takes a batch: ``000012-NAME.jpg`` is of the 12th image that was answered."""
        heats, looks = {}, {}
        if len(batch.crops):
            given = {c: values.argmax(axis=1) for c, values in batch.probabilities.items()}
            heats = self._explainer.explain(batch.crops, given)
            looks = self._explainer.look(batch.crops)
        for row, (item, answers) in enumerate(answers_of(batch, self._wanted)):
            self._count += 1
            told = {
                category: (answer.attribute or "not learnt", answer.probability)
                for category, answer in answers.items()
            }
            maps = {category: heats[category][row] for category in answers}
            looked = {category: looks[category][row] for category in answers if looks}
            picture = draw_montage(batch.crops[row], maps, told, self._colours, looked)
            name = "".join(c if c.isalnum() or c in "-_." else "_" for c in Path(item.image).stem)
            path = self._folder / f"{self._count:06d}-{name[:100]}.jpg"
            with whole_or_nothing(path) as temporary:
                picture.save(temporary, quality=90)


def predict(
    predictor: Predictor,
    items: Iterable[Item],
    wanted: Wanted,
    output: Path | None = None,
    montages: "Montages | None" = None,
) -> int:
    """Answers for images, writes the answers, and lists what could not be read at the end.

    Args:
        predictor: the model.
        items: the images.
        wanted: how answers are given.
        output: the file, as `open_writer` takes it; None = the terminal.
        montages: draws what answers hang on; None = nobody asks.

    Returns:
        The exit code: 1 where some images could not be answered.

    Raises:
        InputError: no image could be answered at all.
    """
    faults: list[str] = []
    tally = Tally()
    if output is None:
        count = _write_all(predictor, items, [Terminal(wanted), montages], faults, tally)
    else:
        with open_writer(output, wanted) as writer:
            count = _write_all(predictor, items, [writer, montages], faults, tally)
            if not count:
                raise _nothing(faults)
        console.print(f"{count} predictions: {output}", soft_wrap=True)
    if not count:
        raise _nothing(faults)
    console.print(f"answered by {predictor.engine}", style="dim")
    if faults:
        told = PlainConsole(stderr=True)
        told.print(f"{len(faults)} could not be answered:", soft_wrap=True)
        for fault in faults:
            told.print(f"  {fault}", soft_wrap=True)
    came = items.tally if isinstance(items, Found) else Tally(files=count + len(faults))
    for line in came.with_answers(tally).lines():
        console.print(line, style="dim", soft_wrap=True)
    return 1 if faults else 0


def _nothing(faults: list[str]) -> InputError:
    reasons = list_some(faults, separator="; ") or "there was no image"
    return InputError(f"Nothing was predicted: {reasons}.")


def _write_all(
    predictor: Predictor,
    items: Iterable[Item],
    writers: Sequence[Writer | None],
    faults: list[str],
    tally: Tally,
) -> int:
    count = 0
    with make_progress() as progress:
        task = progress.add_task("predicting", total=None)
        count_aside(progress, task, items)
        for batch in predictor.stream(items):
            for writer in filter(None, writers):
                writer.write(batch)
            faults += _faults(batch)
            tally.add(batch.faults)
            count += len(batch.answered)
            progress.update(task, advance=len(batch.items))
    return count


def _faults(batch: Batch) -> list[str]:
    return [
        f"{printable(item.image)} {printable(fault)}"
        for item, fault in zip(batch.items, batch.faults, strict=True)
        if fault
    ]
