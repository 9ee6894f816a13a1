"""RandAugment: a few of fourteen changes to each image, all of one strength.

By OpenCV and image by image: Keras' layer of that name makes all of its changes to all images
and then chooses, the same two for a whole batch.
"""

import cv2
import numpy as np
import tensorflow as tf

AT_ONCE = 2  # changes to an image


def rand_augment(images: tf.Tensor, choices: tf.Tensor, amounts: tf.Tensor) -> tf.Tensor:
    """Makes the chosen changes to each image, one after the other.

    Args:
        images: uint8 ``[batch, size, size, 3]``, RGB.
        choices: int32 ``[batch, changes]``, places in CHANGES.
        amounts: float32 ``[batch, changes]``, -1..1; 0 is nearly the identity, but for
            autocontrast and equalize, which have no strength.

    Returns:
        uint8, same shape.

    Reference:
        Cubuk et al. 2020, RandAugment, section 3: the changes; torchvision's ranges.
    """

    def change(images: np.ndarray, choices: np.ndarray, amounts: np.ndarray) -> np.ndarray:
        changed = np.empty_like(images)
        for place, image in enumerate(images):
            for choice, amount in zip(choices[place], amounts[place], strict=True):
                image = _CHANGES[choice](image, float(amount))
            changed[place] = image
        return changed

    changed = tf.numpy_function(change, [images, choices, amounts], tf.uint8, stateful=False)
    return tf.ensure_shape(changed, images.shape)


def identity(image: np.ndarray, amount: float) -> np.ndarray:
    return image


def autocontrast(image: np.ndarray, amount: float) -> np.ndarray:
    """Stretches each channel to 0..255."""
    low, high = (bound(image, axis=(0, 1)).astype(np.float32) for bound in (np.min, np.max))
    scale = 255.0 / np.maximum(high - low, 1.0)
    stretched = np.clip((image - low) * scale, 0, 255).astype(np.uint8)
    return np.where(high > low, stretched, image)


def equalize(image: np.ndarray, amount: float) -> np.ndarray:
    """Makes each channel's grey levels equally common."""
    return cv2.merge([cv2.equalizeHist(channel) for channel in cv2.split(image)])


def rotate(image: np.ndarray, amount: float) -> np.ndarray:
    """Turns by up to 30 degrees, anticlockwise where the amount is positive."""
    centre = (image.shape[0] - 1) / 2
    return _warp(image, cv2.getRotationMatrix2D((centre, centre), 30.0 * amount, 1.0))


def shear_x(image: np.ndarray, amount: float) -> np.ndarray:
    """Slants by up to 0.3 about the middle."""
    shift = -0.3 * amount * (image.shape[0] - 1) / 2
    return _warp(image, np.float32([[1, 0.3 * amount, shift], [0, 1, 0]]))


def shear_y(image: np.ndarray, amount: float) -> np.ndarray:
    return _swapped(shear_x(_swapped(image), amount))


def translate_x(image: np.ndarray, amount: float) -> np.ndarray:
    """Moves to the right by up to 0.45 of the side, by whole pixels."""
    return _warp(image, np.float32([[1, 0, round(0.45 * amount * image.shape[1])], [0, 1, 0]]))


def translate_y(image: np.ndarray, amount: float) -> np.ndarray:
    return _swapped(translate_x(_swapped(image), amount))


def brightness(image: np.ndarray, amount: float) -> np.ndarray:
    """Mixes with black: factor 0.1 to 1.9 of the image."""
    return _blend(image, np.zeros_like(image), amount)


def colour(image: np.ndarray, amount: float) -> np.ndarray:
    """Mixes with its grey."""
    grey = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)
    return _blend(image, cv2.cvtColor(grey, cv2.COLOR_GRAY2RGB), amount)


def contrast(image: np.ndarray, amount: float) -> np.ndarray:
    """Mixes with its mean grey."""
    mean = round(cv2.mean(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY))[0])
    return _blend(image, np.full_like(image, mean), amount)


def sharpness(image: np.ndarray, amount: float) -> np.ndarray:
    """Mixes with itself smoothed, but for the outermost pixels."""
    kernel = np.float32([[1, 1, 1], [1, 5, 1], [1, 1, 1]]) / 13
    smooth = image.copy()
    smooth[1:-1, 1:-1] = cv2.filter2D(image, -1, kernel)[1:-1, 1:-1]
    return _blend(image, smooth, amount)


def posterize(image: np.ndarray, amount: float) -> np.ndarray:
    """Keeps the upper 8 to 4 bits."""
    return image & np.uint8(256 - 2 ** round(4 * abs(amount)))


def solarize(image: np.ndarray, amount: float) -> np.ndarray:
    """Inverts what is brighter than a threshold, 255 to 0."""
    return np.where(image >= 256 - 256 * abs(amount), 255 - image, image).astype(np.uint8)


_CHANGES = (
    identity,
    autocontrast,
    equalize,
    rotate,
    solarize,
    colour,
    posterize,
    contrast,
    brightness,
    sharpness,
    shear_x,
    shear_y,
    translate_x,
    translate_y,
)
CHANGES = tuple(change.__name__ for change in _CHANGES)


def _blend(image: np.ndarray, other: np.ndarray, amount: float) -> np.ndarray:
    share = 1.0 + 0.9 * amount
    return cv2.addWeighted(image, share, other, 1.0 - share, 0.0)


def _warp(image: np.ndarray, matrix: np.ndarray) -> np.ndarray:
    # What comes in over the edge is the image reflected, as in `jitter`.
    size = image.shape[1::-1]
    return cv2.warpAffine(image, matrix, size, borderMode=cv2.BORDER_REFLECT)


def _swapped(image: np.ndarray) -> np.ndarray:
    return np.ascontiguousarray(image.transpose(1, 0, 2))
