"""The networks of keras.applications as backbones."""

import keras
from keras import layers

from deepfashion_tf.models.cloning import clone_network
from deepfashion_tf.models.variants import Application

# Of ImageNet, in RGB of 0 to 1.
IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_DEVIATION = (0.229, 0.224, 0.225)


def build_application(
    application: Application, image_size: int, name: str, top: bool
) -> keras.Model:
    """Builds a network with random weights.

    Args:
        application: which network.
        image_size: side of the square input in pixels.
        name: the model's name.
        top: ends in the 1000-d ImageNet output (logits, no softmax) instead of the average of
            the last feature map.

    Returns:
        A Functional model: float32 ``[batch, size, size, 3]`` -> ``[batch, 1000 or channels]``.

    Raises:
        ValueError: the image is too small.
    """
    network = original(application, image_size, top)

    def replace(layer: keras.Layer, config: dict) -> keras.Layer | None:
        if not is_learned_normalization(layer):
            return None
        # EfficientNet keeps these numbers among its weights, and divides once more where its
        # weights are ImageNet's. Constants come with the graph wherever it goes.
        variance = [deviation**2 for deviation in IMAGENET_DEVIATION]
        return layers.Normalization(name=config["name"], mean=IMAGENET_MEAN, variance=variance)

    return clone_network(network, image_size, name, replace, weights=False)


def original(application: Application, image_size: int, top: bool) -> keras.Model:
    """Builds the network as keras.applications does, with random weights.

    Raises:
        ValueError: the image is too small.
    """
    if image_size < application.least_size:
        raise ValueError(
            f"{application.backbone} takes images of at least {application.least_size} pixels, not "
            f"{image_size}"
        )
    build = getattr(keras.applications, application.function)
    ends = {"classifier_activation": None} if top else {"pooling": "avg"}
    shape = (image_size, image_size, 3)
    return build(weights=None, include_top=top, input_shape=shape, **ends)


def is_learned_normalization(layer: keras.Layer) -> bool:
    """Whether a layer normalizes by numbers that are among its network's weights."""
    return isinstance(layer, layers.Normalization) and bool(layer.weights)
