"""A grouped convolution that is fast on a CPU too and keeps the standard kernel."""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

import keras
import tensorflow as tf
from keras import ops

from deepfashion_tf.processor import AMX, bfloat16_units

_is_native = ContextVar("is_native", default=False)


@contextmanager
def native_grouped_convolution() -> Iterator[None]:
    """Makes graphs that are traced inside it use the native op: for engines that are fast at it."""
    token = _is_native.set(True)
    try:
        yield
    finally:
        _is_native.reset(token)


@keras.saving.register_keras_serializable("deepfashion_tf")
class GroupedConv2D(keras.layers.Layer):
    """Convolves groups of channels separately (3 x 3, padding 1, no bias).

    The kernel has the standard shape ``(3, 3, channels / groups, channels)``, so
    that published weights load. On a GPU the native grouped op reads it. On a CPU
    that op takes hundreds of times longer in training; there the channels are
    split into a few chunks, and each chunk is one dense convolution whose kernel
    is block-diagonal: zeros are multiplied, but by a fast matrix product.

    Args:
        groups: number of groups; divides the number of channels.
        strides: 1 or 2.

    Raises:
        ValueError: the channels cannot be split into that many groups.

    Reference:
        Xie et al. 2017, Aggregated Residual Transformations for Deep Neural
        Networks, figure 3c.
    """

    KERNEL_SIZE = 3

    def __init__(
        self, groups: int, strides: int = 1, kernel_initializer="he_uniform", **kwargs
    ) -> None:
        super().__init__(**kwargs)
        self.groups = groups
        self.strides = strides
        self.kernel_initializer = keras.initializers.get(kernel_initializer)

    def build(self, input_shape) -> None:
        channels = input_shape[-1]
        if channels % self.groups:
            raise ValueError(f"{channels} channels cannot be split into {self.groups} groups")
        shape = (self.KERNEL_SIZE, self.KERNEL_SIZE, channels // self.groups, channels)
        self.kernel = self.add_weight(
            name="kernel", shape=shape, initializer=self.kernel_initializer
        )

    def call(self, images):
        if self.strides > 1:
            # "same" would pad a strided convolution on one side only.
            images = ops.pad(images, ((0, 0), (1, 1), (1, 1), (0, 0)))
        padding = "same" if self.strides == 1 else "valid"
        kernel = ops.cast(self.kernel, self.compute_dtype)
        if _is_native.get():
            # Not Keras' own, which wraps it into a function that no other engine reads.
            return tf.nn.conv2d(images, kernel, self.strides, padding.upper())
        if tf.config.list_logical_devices("GPU"):
            return ops.conv(images, kernel, strides=self.strides, padding=padding)
        chunks = cpu_chunks(kernel.shape[-1], self.groups, self.compute_dtype)
        if chunks == self.groups == 1:
            return ops.conv(images, kernel, strides=self.strides, padding=padding)
        kernels = block_diagonal_kernels(kernel, self.groups, chunks)
        outputs = [
            ops.conv(part, kernels[i], strides=self.strides, padding=padding)
            for i, part in enumerate(ops.split(images, chunks, axis=-1))
        ]
        return ops.concatenate(outputs, axis=-1)

    def compute_output_shape(self, input_shape):
        batch, *sides, channels = input_shape
        # With padding 1 on each side a 3 x 3 kernel gives ceil(side / strides).
        sides = [None if side is None else -(-side // self.strides) for side in sides]
        return (batch, *sides, channels)

    def get_config(self) -> dict:
        return {
            **super().get_config(),
            "groups": self.groups,
            "strides": self.strides,
            "kernel_initializer": keras.initializers.serialize(self.kernel_initializer),
        }


def cpu_chunks(channels: int, groups: int, dtype: str = "float32") -> int:
    """Picks the number of dense chunks that is fastest on a CPU.

    About 16 channels each, and 64 in bfloat16 where AMX multiplies tiles of it: zeros cost
    less there than what lies between the products.
    """
    wide = dtype == "bfloat16" and bfloat16_units() == AMX
    chunks = max(1, min(groups, channels // (64 if wide else 16)))
    while groups % chunks:
        chunks -= 1
    return chunks


def block_diagonal_kernels(kernel, groups: int, chunks: int):
    """Spreads a grouped kernel into dense block-diagonal ones.

    Args:
        kernel: ``[h, w, channels / groups, channels]``.
        groups: number of groups in `kernel`.
        chunks: number of dense kernels; divides `groups`.

    Returns:
        ``[chunks, h, w, channels / chunks, channels / chunks]``.
    """
    height, width, depth, channels = kernel.shape
    per_chunk = groups // chunks
    grouped = ops.reshape(kernel, (height, width, depth, chunks, per_chunk, channels // groups))
    identity = ops.eye(per_chunk, dtype=kernel.dtype)
    # i, o = a group's input and output channels; m, n = its place in rows and columns.
    dense = ops.einsum("hwicno,mn->chwmino", grouped, identity)
    side = channels // chunks
    return ops.reshape(dense, (chunks, height, width, side, side))
