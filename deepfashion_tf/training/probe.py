"""Heads on features that do not change: trained for several settings at once, in seconds."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

import keras
import numpy as np
import tensorflow as tf

from deepfashion_tf.schema import UNLABELLED, Schema

WEIGHT_DECAYS = (0.1, 0.3, 1.0, 3.0, 10.0)
DROPOUTS = (0.5, 0.75)


@dataclass(frozen=True)
class Heads:
    """One softmax layer for each category, and the settings that it was trained with.

    Attributes:
        weight_decay: of AdamW.
        dropout: share of the features that training drops.
        mean_accuracy: on the validation images, of the mean over both views.
        kernels: category -> float32 ``[width, classes]``.
        biases: category -> float32 ``[classes]``.
    """

    weight_decay: float
    dropout: float
    mean_accuracy: float
    kernels: Mapping[str, np.ndarray]
    biases: Mapping[str, np.ndarray]


def search_heads(
    schema: Schema,
    train: tuple[np.ndarray, Mapping[str, np.ndarray]],
    val: tuple[np.ndarray, Mapping[str, np.ndarray]],
    *,
    loss_weights: Mapping[str, float],
    epochs: int,
    batch_size: int,
    learning_rate: float,
    flip: bool = True,
    seed: int = 0,
) -> list[Heads]:
    """Trains heads with cross-entropy for all pairs of weight decay and dropout.

    All pairs see the same batches. AdamW, with a learning rate that falls as a cosine.

    Args:
        schema: the categories.
        train: standardized features, float32 ``[n, views, width]``, and category -> shares of the
            classes, float32 ``[n, classes]``; all 0 = not labelled.
        val: features, and category -> class ids, int32 ``[n]``; -1 = not labelled.
        loss_weights: category -> its weight in the total loss.
        epochs: passes over the training images.
        batch_size: images of a step.
        learning_rate: at its highest.
        flip: draw one of the views for each image; otherwise the first one is used.
        seed: of order, views and dropout.

    Returns:
        The heads, those of the highest validation mean accuracy first.

    Reference:
        Loshchilov and Hutter 2019, Decoupled Weight Decay Regularization, algorithm 2.
    """
    pairs = [(decay, dropout) for dropout in DROPOUTS for decay in WEIGHT_DECAYS]
    count, _, width = train[0].shape
    classes = sum(len(schema[category]) for category in schema)
    empty = [np.zeros((len(pairs), rows, classes), np.float32) for rows in (width, 1)]
    variables = [keras.Variable(values) for values in empty]
    steps = epochs * -(-count // batch_size)
    schedule = keras.optimizers.schedules.CosineDecay(learning_rate, steps)
    optimizer = keras.optimizers.Adam(schedule)
    optimizer.build(variables)
    step = _step_of(schema, train, loss_weights, pairs, variables, optimizer, seed)
    drawn = _draw_batches(count, epochs, batch_size, 2 if flip else 1, seed)
    for number, batch in enumerate(drawn):
        step(*map(tf.constant, batch), tf.constant(number))
    return _scored(schema, pairs, variables, val)


def _step_of(
    schema: Schema,
    train: tuple[np.ndarray, Mapping[str, np.ndarray]],
    loss_weights: Mapping[str, float],
    pairs: list[tuple[float, float]],
    variables: list[keras.Variable],
    optimizer: keras.optimizers.Optimizer,
    seed: int,
) -> Callable[[tf.Tensor, tf.Tensor, tf.Tensor], None]:
    """Makes the step that trains all pairs: of a batch's images, their views and its number."""
    sizes = [len(schema[category]) for category in schema]
    joined = tf.constant(np.concatenate([train[1][c] for c in schema], axis=1), tf.float32)
    weights = tf.constant(np.repeat([loss_weights[c] for c in schema], sizes), tf.float32)
    decays = tf.constant([decay for decay, _ in pairs])[:, None, None]
    kept = tf.constant([1.0 - dropout for _, dropout in pairs])[:, None, None]
    features = tf.constant(train[0])

    def log_softmax(logits: tf.Tensor) -> tf.Tensor:
        return tf.concat([tf.nn.log_softmax(x) for x in tf.split(logits, sizes, axis=-1)], axis=-1)

    @tf.function(autograph=False)
    def step(rows: tf.Tensor, views: tf.Tensor, number: tf.Tensor) -> None:
        batch = tf.gather(tf.gather(features, rows), views, batch_dims=1)
        noise = tf.random.stateless_uniform(tf.shape(batch), tf.stack([seed, number]))
        dropped = tf.where(noise < kept, batch / kept, 0.0)
        with tf.GradientTape() as tape:
            logits = tf.matmul(dropped, variables[0].value) + variables[1].value
            losses = -weights * tf.gather(joined, rows) * log_softmax(logits)
            # Each pair has a sum of its own: their kernels do not meet.
            loss = tf.reduce_sum(losses) / tf.cast(tf.shape(rows)[0], tf.float32)
        gradients = tape.gradient(loss, [variable.value for variable in variables])
        rate = tf.cast(optimizer.learning_rate, tf.float32)
        variables[0].assign(variables[0].value * (1.0 - rate * decays))
        optimizer.apply(gradients, variables)

    return step


def _scored(
    schema: Schema,
    pairs: list[tuple[float, float]],
    variables: list[keras.Variable],
    val: tuple[np.ndarray, Mapping[str, np.ndarray]],
) -> list[Heads]:
    """Splits the kernels and biases of all pairs into heads, the best in validation first."""
    sizes = [len(schema[category]) for category in schema]
    answers = dict(zip(schema, _answers(variables, val[0], sizes), strict=True))
    found = (
        Heads(
            *pair,
            _mean_accuracy(schema, answers, val[1], place),
            _split(variables[0].numpy()[place], schema),
            _split(variables[1].numpy()[place, 0], schema),
        )
        for place, pair in enumerate(pairs)
    )
    return sorted(found, key=lambda heads: -heads.mean_accuracy)


def _draw_batches(
    count: int, epochs: int, batch_size: int, views: int, seed: int
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Yields the images of each batch, and the view of each image."""
    rng = np.random.default_rng(seed)
    for _ in range(epochs):
        order = rng.permutation(count)
        for start in range(0, count, batch_size):
            rows = order[start : start + batch_size]
            yield rows, rng.integers(0, views, len(rows))


def _split(values: np.ndarray, schema: Schema) -> dict[str, np.ndarray]:
    """Divides the last axis, all categories' classes side by side, among the categories."""
    ends = np.cumsum([len(attributes) for attributes in schema.values()])
    return dict(zip(schema, np.split(values, ends[:-1], axis=-1), strict=True))


def _answers(variables, features: np.ndarray, sizes: list[int]) -> list[np.ndarray]:
    """Returns probabilities, the mean over views: ``[pairs, n, classes]`` for each category."""
    kernels, biases = (variable.value[:, None] for variable in variables)
    views = tf.transpose(tf.constant(features), [1, 0, 2])
    logits = tf.matmul(views, kernels) + biases
    return [
        tf.reduce_mean(tf.nn.softmax(each), axis=1).numpy()
        for each in tf.split(logits, sizes, axis=-1)
    ]


def _mean_accuracy(
    schema: Schema,
    answers: Mapping[str, np.ndarray],
    labels: Mapping[str, np.ndarray],
    place: int,
) -> float:
    accuracies = {}
    for category, values in labels.items():
        known = values != UNLABELLED
        if known.any():
            right = answers[category][place].argmax(axis=1) == values
            accuracies[category] = float(right[known].mean())
    return schema.group_mean(accuracies)
