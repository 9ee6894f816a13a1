"""How fast images are answered, beside the two halves of that work and the bare SavedModel."""

import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import tensorflow as tf

from benchmarks.rates import Rate, race
from deepfashion_tf.data.split import Split
from deepfashion_tf.export.saved_model import export_run
from deepfashion_tf.inference.answers import Wanted
from deepfashion_tf.inference.items import items_of
from deepfashion_tf.inference.predictor import Predictor
from deepfashion_tf.runs.run import Run
from deepfashion_tf.serving.answer_files import open_writer

BARE = "SavedModel, files"
INPUT = "reading, decoding, cropping alone"
ENGINE = "its engine alone"


def benchmark_prediction(run: Run, split: Split, rounds: int) -> Iterator[list[Rate]]:
    """Answers for a split's images by `Predictor`, files to a table, and by its halves alone.

    The halves are what makes crops of the files, on the threads of `Predictor`, and the engine
    that answers for the crops. Where both keep all cores busy, the whole can be no faster than
    1 / (1 / input + 1 / engine).

    Args:
        run: whose export is asked.
        split: the images.
        rounds: how often each is measured.

    Yields:
        After each round all rates so far.
    """
    export = export_run(run)
    signatures = tf.saved_model.load(str(export)).signatures
    items, category = list(items_of(split)), next(iter(run.schema))
    ours = Predictor.load(run.directory)
    starts = range(0, len(items), ours.batch_size)
    parts = [items[start : start + ours.batch_size] for start in starts]
    files = [
        (tf.constant([item.encoded for item in part]), tf.constant([item.box for item in part]))
        for part in parts
    ]
    predictors = {f"predict, {ours.engine}": ours, "predict, SavedModel": Predictor.load(export)}
    crops = [np.array(ours.crops(part)) for part in parts]

    def bare() -> int:
        for encoded, boxes in files:
            signatures["serving_default"](image_bytes=encoded, boxes=boxes)[category].numpy()
        return len(items)

    def read() -> int:
        return sum(1 for _ in ours.read(iter(items)))

    def engine() -> int:
        for some in crops:
            ours.answer(some)
        return len(items)

    def predict(predictor: Predictor) -> int:
        wanted = Wanted(predictor.schema)
        with (
            tempfile.TemporaryDirectory() as folder,
            open_writer(Path(folder) / "answers.csv", wanted) as writer,
        ):
            for batch in predictor.stream(iter(items)):
                writer.write(batch)
        return len(items)

    contestants = {
        name: lambda predictor=found: predict(predictor) for name, found in predictors.items()
    }
    yield from race({**contestants, INPUT: read, ENGINE: engine, BARE: bare}, rounds)
