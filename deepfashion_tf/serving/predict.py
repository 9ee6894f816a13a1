"""Answers for photographs: files in, attributes with probabilities out."""

import csv
import io
import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from rich.markup import escape

from deepfashion_tf.data.headers import image_size
from deepfashion_tf.data.split import WHOLE_IMAGE, Split, file_reader
from deepfashion_tf.errors import InputError, list_some, printable
from deepfashion_tf.evaluation.evaluate import predict_split
from deepfashion_tf.files import is_file, is_folder, write_atomically
from deepfashion_tf.inference.calibration import CALIBRATION_FILE, Calibration
from deepfashion_tf.progress import console
from deepfashion_tf.schema import UNLABELLED, Schema
from deepfashion_tf.training.run import Run

IMAGE_SUFFIXES = {".jpg", ".jpeg", ".png", ".gif", ".bmp", ".webp"}


@dataclass(frozen=True)
class Prediction:
    """The answers for one image.

    Attributes:
        image: its path as it was given.
        answers: category -> (attribute, probability between 0 and 1); the attribute is None
            where no training image was labelled in the category.
    """

    image: str
    answers: dict[str, tuple[str | None, float]]


def find_images(inputs: Sequence[Path]) -> list[Path]:
    """Lists the images that files and folders (with all below them) stand for, in order.

    Raises:
        InputError: an input does not exist, or a folder has no image.
    """
    if not inputs:
        raise InputError("No image is named: give images or folders of them.")
    images: list[Path] = []
    for path in inputs:
        if is_folder(path):
            found = sorted(p for p in path.rglob("*") if p.suffix.lower() in IMAGE_SUFFIXES)
            if not found:
                raise InputError(
                    f"The folder {path} holds no image ({', '.join(sorted(IMAGE_SUFFIXES))})."
                )
            images += found
        elif is_file(path):
            images.append(path)
        else:
            raise InputError(f"There is no file or folder {path}: give images or folders of them.")
    return images


def check_alone(inputs: Sequence[Path], box: str | None) -> None:
    """Refuses images or a box beside ``--data``, whose images have boxes of their own."""
    if inputs or box is not None:
        raise InputError("--data brings images and boxes of its own: leave the others out.")


def parse_box(text: str) -> tuple[int, int, int, int]:
    """Reads ``x1,y1,x2,y2`` in half-open pixels.

    Raises:
        InputError: not four whole numbers, or no area.
    """
    if not re.fullmatch(r" *-?[0-9]{1,9} *(, *-?[0-9]{1,9} *){3}", text, re.ASCII):
        raise InputError(f"--box {text!r} is not x1,y1,x2,y2: give four whole numbers.")
    x1, y1, x2, y2 = map(int, text.split(","))
    if min(x1, y1) < 0 or x1 >= x2 or y1 >= y2:
        raise InputError(f"--box {text} has no area inside an image: 0 <= x1 < x2, 0 <= y1 < y2.")
    return x1, y1, x2, y2


def open_images(
    schema: Schema, images: list[Path], box: tuple[int, int, int, int] | None = None
) -> Split:
    """Makes a split of image files that nobody has labelled.

    Args:
        schema: of the run that will answer.
        images: image files.
        box: the garment in every one of them, half-open pixels; None = the whole image.

    Raises:
        InputError: names every image that is no image, or that the box does not fit.
    """
    faults = [fault for path in images if (fault := _fault(path, box))]
    if faults:
        raise InputError(f"Nothing was predicted: {list_some(faults, separator='; ')}.")
    paths = [str(path) for path in images]
    return Split(
        schema=schema,
        name="predict",
        encoded=file_reader(paths),
        keys=paths,
        boxes=np.tile(np.int32(box or WHOLE_IMAGE), (len(images), 1)),
        labels=np.full((len(images), len(schema)), UNLABELLED, np.int32),
        source="the command line",
    )


def predict(run: Run, split: Split) -> list[Prediction]:
    """Answers for the images of a split, whatever their labels.

    Raises:
        InputError: an image cannot be decoded.
    """
    calibration = Calibration.load(run.directory / CALIBRATION_FILE)
    probabilities = calibration.scale(predict_split(run, run.load_model(), split))
    predictions = []
    for row, key in enumerate(split.keys):
        answers = {}
        for category, attributes in run.schema.items():
            best = int(probabilities[category][row].argmax())
            probability = float(probabilities[category][row, best])
            is_known = category in run.trained
            answers[category] = (attributes[best] if is_known else None, probability)
        predictions.append(Prediction(key, answers))
    return predictions


def _fault(path: Path, box: tuple[int, int, int, int] | None) -> str | None:
    size = image_size(str(path))
    if isinstance(size, str):
        return f"{path} {size}"
    if box and (box[2] > size[0] or box[3] > size[1]):
        return f"the box {','.join(map(str, box))} lies outside {path} ({size[0]} x {size[1]})"
    return None


def check_output(path: Path) -> None:
    """Checks a name for `write_predictions` before anything is computed.

    Raises:
        InputError: another ending than .csv or .json, or the folder does not exist.
    """
    if path.is_dir():
        raise InputError(f"--output {path} is a folder: name a file in it, .csv or .json.")
    if path.suffix not in (".csv", ".json"):
        raise InputError(f"--output {path} must end in .csv or .json.")
    if not path.parent.is_dir():
        raise InputError(f"The folder of --output {path} does not exist: make it first.")


def write_predictions(predictions: list[Prediction], path: Path) -> None:
    """Writes a table: JSON if the file's name ends so, otherwise CSV."""
    if path.suffix == ".json":
        rows = [
            {
                "image": prediction.image,
                **{
                    category: {"attribute": attribute, "probability": probability}
                    for category, (attribute, probability) in prediction.answers.items()
                },
            }
            for prediction in predictions
        ]
        write_atomically(path, json.dumps(rows, indent=2, ensure_ascii=False) + "\n")
        return
    text = io.StringIO()
    categories = predictions[0].answers if predictions else ()
    columns = [name for category in categories for name in (category, f"{category}_probability")]
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["image", *columns])
    for prediction in predictions:
        values = [value for answer in prediction.answers.values() for value in answer]
        writer.writerow([prediction.image, *values])
    write_atomically(path, text.getvalue())


def print_predictions(predictions: list[Prediction]) -> None:
    """Prints each image's answers below its name: category, attribute, probability in percent."""
    answers = [answer for prediction in predictions for answer in prediction.answers.items()]
    longest = max((category for category, _ in answers), key=len, default="")
    width = max((len(attribute or "") for _, (attribute, _) in answers), default=0) + 2
    for prediction in predictions:
        console.print(f"[bold]{escape(printable(prediction.image))}[/bold]", soft_wrap=True)
        for category, (attribute, probability) in prediction.answers.items():
            name = f"{attribute:<{width}}{probability:>5.0%}" if attribute else "not learnt"
            console.print(f"  {category:<{len(longest)}} {escape(name)}")
