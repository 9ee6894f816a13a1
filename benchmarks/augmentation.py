"""Random changes of training images beside those of Keras' and KerasCV's layers."""

from collections.abc import Callable, Iterator

import keras
import keras_cv
import tensorflow as tf

from benchmarks.rates import Rate, race
from deepfashion_tf.data.augment import Augmentation
from deepfashion_tf.data.reading import on_own_threads

_BATCHES = 20
_RANGE = (0, 255)
Change = Callable[[tf.Tensor, tf.Tensor], tf.Tensor]


def benchmark_augmentation(image_size: int, batch_size: int, rounds: int) -> Iterator[list[Rate]]:
    """Measures images a second on one thread of tf.data, since a batch is changed on one.

    What is drawn differs: here it depends on (seed, epoch) alone; Keras' layers count their calls.

    Args:
        image_size: side in pixels.
        batch_size: images in one call.
        rounds: of each.

    Yields:
        After each round all rates so far.
    """
    shape = (batch_size, image_size, image_size, 3)
    images = tf.random.stateless_uniform(shape, (0, 0), 0, 256, tf.int32)
    images = tf.cast(images, tf.uint8)

    def of(change: Change) -> Callable[[], int]:
        numbers = tf.data.Dataset.range(_BATCHES + 1, output_type=tf.int64)
        batches = on_own_threads(numbers.map(lambda number: change(images, number)))

        def work() -> int:
            for _ in batches:
                pass
            return (_BATCHES + 1) * batch_size

        return work

    def layer(layer: keras.Layer) -> Callable[[], int]:
        def change(images: tf.Tensor, number: tf.Tensor) -> tf.Tensor:
            return layer(tf.cast(images, tf.float32), training=True)

        return of(change)

    layers, cv = keras.layers, keras_cv.layers
    moves = keras.Sequential(
        [
            layers.RandomFlip("horizontal"),
            layers.RandomRotation(0.03),
            layers.RandomZoom(0.25),
            layers.RandomTranslation(0.12, 0.12),
            layers.RandomContrast(0.3),
            layers.RandomBrightness(0.15, _RANGE),
            layers.RandomColorJitter(_RANGE, saturation_factor=0.1),
        ]
    )
    yield from race(
        {
            "flip, jitter": of(_ours(jitter=1.0)),
            "Keras, layers like it": layer(moves),
            "erasing": of(_ours(erase=1.0)),
            "Keras, RandomErasing": layer(layers.RandomErasing(1.0, value_range=_RANGE)),
            "KerasCV, RandomCutout": layer(cv.RandomCutout(0.3, 0.3)),
        },
        rounds,
    )


def _ours(**options: float) -> Change:
    augmentation = Augmentation(**options)

    def change(images: tf.Tensor, number: tf.Tensor) -> tf.Tensor:
        drawn = augmentation.draw(images.shape[0], tf.stack([tf.constant(0, tf.int64), number]))
        changed = augmentation.change(images, drawn)
        return tf.cast(changed, tf.float32)

    return change
