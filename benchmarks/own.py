"""This project's side of a contest of processes: see `worker.Worker`."""

from collections.abc import Callable

from benchmarks.peer import serve
from deepfashion_tf.command_line import import_tensorflow


def train(job: dict) -> Callable[[], int]:
    """Trains as scripts/train.py does, or where ``plain`` is true, as Keras does by itself."""
    import_tensorflow()
    from benchmarks.precision import plain_steps_of, steps_of
    from deepfashion_tf.runs.config import TrainConfig

    names = ("backbone", "variant", "image_size", "batch_size", "precision", "heads")
    given = {name: job[name] for name in (*names, "freeze_batch_norm") if name in job}
    options = {"heads": "pooled", **given}
    config = TrainConfig(weights="none", **options)
    return (
        plain_steps_of(config, job["steps"]) if job["plain"] else steps_of(config, job["steps"])[0]
    )


def answer(job: dict) -> Callable[[], int]:
    """Answers for ready crops as scripts/predict.py does."""
    import numpy as np

    import_tensorflow()
    from deepfashion_tf.inference.predictor import Predictor

    predictor = Predictor.load(job["path"], job["engine"])
    size = predictor.image_size
    crops = np.random.default_rng(0).integers(0, 256, (job["batch_size"], size, size, 3), np.uint8)

    def work() -> int:
        for _ in range(job["times"]):
            predictor.answer(crops)
        return job["times"] * job["batch_size"]

    return work


def multiply(job: dict) -> Callable[[], int]:
    """Multiplies matrices, as often as the convolutions of some images have sums to make.

    What TensorFlow reaches there is the most that convolutions could.
    """
    import_tensorflow()
    import tensorflow as tf

    left = tf.cast(tf.random.normal((_SIDE, _SIDE)), job["precision"])

    @tf.function
    def product() -> tf.Tensor:
        return tf.matmul(left, left)[0, 0]

    times = max(1, round(job["images"] * job["operations"] / (2 * _SIDE**3)))

    def work() -> int:
        for _ in range(times):
            product()
        return round(times * 2 * _SIDE**3 / job["operations"])

    return work


_SIDE = 1536

if __name__ == "__main__":
    serve({"training": train, "inference": answer, "limit": multiply})
