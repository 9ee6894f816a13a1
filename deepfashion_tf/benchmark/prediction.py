"""How fast images are answered, beside the bare SavedModel that answers for the same files."""

import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import tensorflow as tf

from deepfashion_tf.benchmark.rates import Rate, race
from deepfashion_tf.data.split import Split
from deepfashion_tf.inference.items import items_of
from deepfashion_tf.inference.predictor import BATCH_SIZE, Predictor
from deepfashion_tf.serving.answer_files import Wanted, open_writer
from deepfashion_tf.serving.export import export_run
from deepfashion_tf.training.run import Run

BARE = "SavedModel, files"
LIMIT = "SavedModel, crops"


def benchmark_prediction(run: Run, split: Split, rounds: int) -> Iterator[list[Rate]]:
    """Answers for a split's images by `Predictor`, files to a table, and by the SavedModel alone.

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
    parts = [items[start : start + BATCH_SIZE] for start in range(0, len(items), BATCH_SIZE)]
    files = [
        (tf.constant([item.encoded for item in part]), tf.constant([item.box for item in part]))
        for part in parts
    ]
    predictors = {"run": Predictor.load(run.directory), "export": Predictor.load(export)}
    crops = [tf.constant(np.array(predictors["run"].crops(part))) for part in parts]

    def bare() -> int:
        for encoded, boxes in files:
            signatures["serving_default"](image_bytes=encoded, boxes=boxes)[category].numpy()
        return len(items)

    def limit() -> int:
        for some in crops:
            signatures["images"](images=some)[category].numpy()
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
        f"predict, {name}": lambda predictor=found: predict(predictor)
        for name, found in predictors.items()
    }
    yield from race({**contestants, BARE: bare, LIMIT: limit}, rounds)
