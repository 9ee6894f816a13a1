"""Answers for photographs: files in, attributes with probabilities out."""

import csv
import io
import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from rich.markup import escape

from deepfashion_tf.data.deepfashion import image_size
from deepfashion_tf.data.split import WHOLE_IMAGE, Split, file_reader
from deepfashion_tf.errors import InputError, list_some
from deepfashion_tf.evaluation.evaluate import predict_split
from deepfashion_tf.files import write_atomically
from deepfashion_tf.progress import console
from deepfashion_tf.schema import UNLABELLED
from deepfashion_tf.training.run import Run

IMAGE_SUFFIXES = {".jpg", ".jpeg", ".png", ".gif", ".bmp"}


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


def find_images(inputs: list[Path]) -> list[Path]:
    """Lists the images that files and folders (with all below them) stand for, in order.

    Raises:
        InputError: an input does not exist, or a folder has no image.
    """
    images: list[Path] = []
    for path in inputs:
        if path.is_dir():
            found = sorted(p for p in path.rglob("*") if p.suffix.lower() in IMAGE_SUFFIXES)
            if not found:
                raise InputError(
                    f"The folder {path} holds no image ({', '.join(sorted(IMAGE_SUFFIXES))})."
                )
            images += found
        elif path.is_file():
            images.append(path)
        else:
            raise InputError(f"There is no file or folder {path}: give images or folders of them.")
    return images


def parse_box(text: str) -> tuple[int, int, int, int]:
    """Reads ``x1,y1,x2,y2`` in half-open pixels.

    Raises:
        InputError: not four whole numbers, or no area.
    """
    try:
        x1, y1, x2, y2 = (int(value) for value in text.split(","))
    except ValueError as error:
        raise InputError(f"--box {text} is not x1,y1,x2,y2: give four whole numbers.") from error
    if min(x1, y1) < 0 or x1 >= x2 or y1 >= y2:
        raise InputError(f"--box {text} has no area inside an image: 0 <= x1 < x2, 0 <= y1 < y2.")
    return x1, y1, x2, y2


def predict(
    run: Run, images: list[Path], box: tuple[int, int, int, int] | None = None
) -> list[Prediction]:
    """Answers for images.

    Args:
        run: whose model answers.
        images: image files.
        box: the garment in every one of them, half-open pixels; None = the whole image.

    Raises:
        InputError: names every image that is no image, or that the box does not fit.
    """
    faults = [fault for path in images if (fault := _fault(path, box))]
    if faults:
        raise InputError(f"Nothing was predicted: {list_some(faults, separator='; ')}.")
    paths = [str(path) for path in images]
    split = Split(
        schema=run.schema,
        name="predict",
        encoded=file_reader(paths),
        keys=paths,
        boxes=np.tile(np.int32(box or WHOLE_IMAGE), (len(images), 1)),
        labels=np.full((len(images), len(run.schema)), UNLABELLED, np.int32),
        source="the command line",
    )
    probabilities = predict_split(run, run.load_model(), split)
    predictions = []
    for row, path in enumerate(images):
        answers = {}
        for category, attributes in run.schema.items():
            best = int(probabilities[category][row].argmax())
            probability = float(probabilities[category][row, best])
            is_known = category in run.trained
            answers[category] = (attributes[best] if is_known else None, probability)
        predictions.append(Prediction(str(path), answers))
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
        console.print(f"[bold]{escape(prediction.image)}[/bold]", soft_wrap=True)
        for category, (attribute, probability) in prediction.answers.items():
            name = f"{attribute:<{width}}{probability:>5.0%}" if attribute else "not learnt"
            console.print(f"  {category:<{len(longest)}} {escape(name)}")
