"""Trains some steps on one device and on several, and prints how far apart they come.

To be run by itself, since TensorFlow makes its devices once a process:
``python tests/replicas.py --data FOLDER [--devices 2] [--learning-rate 1e-3] …``
"""

import dataclasses
import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np
import tensorflow as tf
import tyro

from deepfashion_tf.data.normalization import NORMALIZATIONS
from deepfashion_tf.data.pipeline import evaluation_dataset, training_dataset
from deepfashion_tf.data.reading import cached_reader
from deepfashion_tf.data.sources import open_splits
from deepfashion_tf.models import variants
from deepfashion_tf.runs.config import TrainConfig
from deepfashion_tf.runs.runtime_options import RuntimeOptions
from deepfashion_tf.training.building import (
    build_initial_model,
    build_optimizer,
    compile_model,
)
from deepfashion_tf.training.runtime import Runtime, make_runtime

ORDERS = {
    "reversed": lambda batch: batch[::-1],
    "rotated": lambda batch: tf.roll(batch, tf.shape(batch)[0] // 2, 0),
}


@dataclass(frozen=True)
class Options:
    data: Path
    devices: int = 2
    learning_rate: float = 1e-3
    image_size: int = 32
    batch_size: int = 8
    steps: int = 20
    images: int = 43
    narrow: bool = True
    heads: Literal["pooled", "attention"] = "pooled"


def train_some_steps(options: Options, runtime: Runtime, order: str = "given") -> dict:
    """Trains as `train` does; `order` of the images in a batch: given, reversed or rotated."""
    config = TrainConfig(
        backbone="seresnet50",
        data=str(options.data),
        weights="none",
        image_size=options.image_size,
        batch_size=options.batch_size,
        learning_rate=options.learning_rate,
        dropout=0.0,
        heads=options.heads,
    )
    train, val = open_splits(config, ["train", "val"])
    config = config.for_schema(train.schema)
    train = train.take(np.arange(options.images), "train")
    val = val.take(np.arange(23), "val")  # which no number of replicas divides
    # A third of the labels is missing, not evenly among the halves of a batch.
    hidden = np.random.default_rng(0).random(train.labels.shape) < np.linspace(0, 0.6, 6)
    train = dataclasses.replace(train, labels=np.where(hidden, -1, train.labels))
    with runtime.scope():
        config, model = build_initial_model(train.schema, config)
        optimizer = build_optimizer(model, config, options.steps)
        trainer = compile_model(train.schema, model, config, optimizer)
    normalization = NORMALIZATIONS["torch"]
    data = training_dataset(
        train,
        cached_reader(train, options.image_size),
        normalization,
        batch_size=options.batch_size,
        epochs=options.steps,
        seed=0,
        share=runtime.share,
    )
    if order != "given":
        change = ORDERS[order]
        data = data.map(
            lambda images, labels: (change(images), {c: change(v) for c, v in labels.items()})
        )
    losses = []
    keep = keras.callbacks.LambdaCallback(
        on_train_batch_end=lambda batch, logs: losses.append(float(np.mean(logs["loss"])))
    )
    trainer.fit(
        runtime.distribute(data), steps_per_epoch=options.steps, callbacks=[keep], verbose=0
    )
    weights = {v.path: np.asarray(v) for v in model.variables}
    val_data = evaluation_dataset(
        val,
        cached_reader(val, options.image_size),
        normalization,
        batch_size=options.batch_size,
        share=runtime.share,
    )
    steps = -(-len(val) // options.batch_size)
    scores = trainer.evaluate(
        runtime.distribute(val_data), steps=steps, verbose=0, return_dict=True
    )
    return {"losses": np.array(losses), "weights": weights, "scores": scores}


def differences(ours: dict, theirs: dict) -> dict:
    """The largest ones: of a step's loss, of a weight, of a moving statistic over its size."""
    apart = {k: np.abs(a - theirs["weights"][k]) for k, a in ours["weights"].items()}
    moving = {
        k: v / np.maximum(1, np.abs(ours["weights"][k])) for k, v in apart.items() if "/moving" in k
    }
    accuracy = [k for k in ours["scores"] if k.endswith("accuracy")]
    return {
        "first_loss": float(np.abs(ours["losses"] - theirs["losses"])[0]),
        "loss": float(np.abs(ours["losses"] - theirs["losses"]).max()),
        "weight": float(max(v.max() for k, v in apart.items() if k not in moving)),
        "statistic": float(max(v.max() for v in moving.values())),
        "accuracies_equal": all(ours["scores"][k] == theirs["scores"][k] for k in accuracy),
    }


def main() -> None:
    options = tyro.cli(Options)
    if options.narrow:
        variants.VARIANTS["timm.seresnet50"] = dataclasses.replace(
            variants.VARIANTS["timm.seresnet50"], blocks=(1, 1, 1, 1), base_width=8
        )
    runtime = make_runtime(RuntimeOptions(devices=options.devices))
    alone = train_some_steps(options, Runtime())
    # One device and the same batches, summed up in another order.
    orders = [differences(train_some_steps(options, Runtime(), name), alone) for name in ORDERS]
    print(
        json.dumps(
            {
                "last_loss": alone["losses"][-1],
                "replicas": differences(train_some_steps(options, runtime), alone),
                "order": {name: max(found[name] for found in orders) for name in orders[0]},
            }
        )
    )


if __name__ == "__main__":
    main()
