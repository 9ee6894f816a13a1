"""EfficientNet-Lite: the network of keras-cv, with some layers of this project.

keras-cv assembles it; the clone has batch norm whose statistics can be frozen alone, and
convolutions that train faster on a CPU. A saved model needs no keras-cv to be loaded.

Reference:
    Tan and Le 2019, EfficientNet; the Lite networks leave out squeeze and excitation and have
    ReLU6: github.com/tensorflow/tpu, models/official/efficientnet/lite.
"""

import keras
from keras import layers

from deepfashion_tf.models.average import MapAverage
from deepfashion_tf.models.batch_norm import FusedBatchNormalization
from deepfashion_tf.models.convolution import Conv2D
from deepfashion_tf.models.depthwise_convolution import DepthwiseConv2D
from deepfashion_tf.models.senet import BATCH_NORM_MOMENTUM
from deepfashion_tf.models.variants import LiteVariant

# Of EfficientNet-B0, which width and depth scale. keras-cv's presets have the same numbers, but
# fetch a file.
_STAGES = {
    "stackwise_kernel_sizes": [3, 3, 5, 3, 5, 5, 3],
    "stackwise_num_repeats": [1, 2, 2, 3, 3, 4, 1],
    "stackwise_input_filters": [32, 16, 24, 40, 80, 112, 192],
    "stackwise_output_filters": [16, 24, 40, 80, 112, 192, 320],
    "stackwise_expansion_ratios": [1, 6, 6, 6, 6, 6, 6],
    "stackwise_strides": [1, 2, 2, 2, 1, 2, 1],
}


def build_efficientnet_lite(
    variant: LiteVariant, image_size: int, name: str, top: bool
) -> keras.Model:
    """Builds a network with random weights.

    Args:
        variant: which network.
        image_size: side of the square input in pixels.
        name: the model's name.
        top: ends in the 1000-d ImageNet output (logits, no softmax) instead of the 1280-d
            average of the last feature map.

    Returns:
        A Functional model: float32 ``[batch, size, size, 3]`` -> ``[batch, 1000 or 1280]``.
    """
    # It takes a second to import, which the other backbones need not wait for.
    from keras_cv.models import EfficientNetLiteBackbone

    network = EfficientNetLiteBackbone(
        include_rescaling=False,
        width_coefficient=variant.width,
        depth_coefficient=variant.depth,
        drop_connect_rate=0.0,
        input_shape=(image_size, image_size, 3),
        **_STAGES,
    )
    images = keras.Input((image_size, image_size, 3), name="images")
    network = keras.models.clone_model(network, input_tensors=images, clone_function=_replace)
    x = MapAverage(name="avg_pool")(network.output)
    if top:
        x = layers.Dense(1000, name="predictions")(x)
    return keras.Model(images, x, name=name)


def _replace(layer: keras.Layer) -> keras.Layer:
    """Makes this project's layer of the same configuration and name, where there is one."""
    config = layer.get_config()
    # The policy in force, not the one that keras-cv has noted.
    config.pop("dtype", None)
    kind = type(layer)
    if kind is layers.BatchNormalization:
        kind, config = FusedBatchNormalization, config | {"momentum": BATCH_NORM_MOMENTUM}
    elif kind is layers.ZeroPadding2D:
        # TensorFlow's own padding of strided convolutions is the same.
        return layers.Identity(name=config["name"])
    elif kind in (layers.Conv2D, layers.DepthwiseConv2D):
        kind = Conv2D if kind is layers.Conv2D else DepthwiseConv2D
        config["padding"] = "same"
    return kind.from_config(config)
