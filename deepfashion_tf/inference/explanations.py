"""Grad-CAM: which parts of an image speak for an answer.

A feature map of the backbone is weighted by how much each of its channels would raise the
answer's logit. Nothing is trained for it, and the model stays as it is.

What a map is not. It is no segmentation: it has as many cells as the feature map, an image
side divided by 32 at the last stage, which is 7 x 7 at 224 pixels and 2 x 2 at 64; whatever
is drawn finer than that is interpolation. Each cell has seen far more of the image than it
covers. And it says what this model's answer hangs on, not what is right, nor why. The logit
is asked, as in the paper: what raises all attributes of a category alike shows in a map, too,
though the softmax takes no notice of it.

Reference:
    Selvaraju et al. 2017, Grad-CAM: Visual Explanations from Deep Networks via
    Gradient-based Localization.
"""

from collections.abc import Mapping, Sequence

import keras
import numpy as np
import tensorflow as tf
from matplotlib import colormaps

from deepfashion_tf.data.images import normalize
from deepfashion_tf.data.normalization import Normalization
from deepfashion_tf.errors import InputError
from deepfashion_tf.models.attention import AttentionPooling, attention_of
from deepfashion_tf.models.attribute_model import FC_WIDTHS, backbone_of
from deepfashion_tf.models.ensemble import members_of
from deepfashion_tf.models.graph import calls_of
from deepfashion_tf.models.stages import stage_maps, stage_output
from deepfashion_tf.runs.run import Run

LAST_STAGE = 5
_LEAST_CELLS = 4  # a side: fewer say nothing of where


def grad_cam(
    model: Run | keras.Model,
    images: np.ndarray,
    category: str,
    class_id: int | np.ndarray | None = None,
    *,
    stage: int = LAST_STAGE,
    batch_size: int = 32,
) -> np.ndarray:
    """Shows where the evidence for an attribute lies: ``L = ReLU(sum_k a_k A^k)`` (eq. 2).

    Each map is divided by its highest value, so that maps of two images do not tell which
    has more evidence. A map without any is 0 everywhere, as in a category that was not learnt.

    Args:
        model: what ``run.load_model()`` gives, or a run, whose model is then loaded.
        images: at least one. For a model, normalized crops, float32 ``[n, size, size, 3]``;
            for a run, the crops as they are, uint8, which it normalizes.
        category: which of the model's answers.
        class_id: the attribute asked about, for all images or one each; None = the one
            that the model answers.
        stage: 2 to 5, whose feature map is read: the earlier, the finer and the less telling.
        batch_size: images at once.

    Returns:
        float32 ``[n, rows, columns]``, 0 to 1, a cell each of the feature map.

    Raises:
        InputError: the model has no such category, attribute or stage.
    """
    found = evidence(model, images, category, class_id, stage=stage, batch_size=batch_size)
    return _up_to_1(found)


def _up_to_1(found: np.ndarray) -> np.ndarray:
    maps = np.maximum(found, 0.0)
    highest = maps.max(axis=(1, 2), keepdims=True)
    return np.divide(maps, highest, out=np.zeros_like(maps), where=highest > 0)


def evidence(
    model: Run | keras.Model,
    images: np.ndarray,
    category: str,
    class_id: int | np.ndarray | None = None,
    *,
    stage: int = LAST_STAGE,
    batch_size: int = 32,
) -> np.ndarray:
    """Weighs a feature map by the gradients of an attribute's logit, signs kept.

    ``a_k = 1/Z sum_ij dy / dA_ij^k`` (eq. 1), the map is ``sum_k a_k A^k``; y is the
    logit, Z the number of cells. Where the heads read the average of the last feature map,
    that is the class activation map of Zhou et al. 2016 (Learning Deep Features for
    Discriminative Localization, eq. 2) divided by Z, and its sum is y without the bias.

    Args:
        model: as `grad_cam` takes it, like all the others.

    Returns:
        float32 ``[n, rows, columns]``, in units of the logit.

    Raises:
        InputError: the model has no such category, attribute or stage.
    """
    if isinstance(model, Run):
        images, model = normalize(images, model.normalization), model.load_model()
    class_ids = np.broadcast_to(_class_ids(model, category, class_id), len(images))
    if members := members_of(model):
        if class_id is None:
            answers = model.predict(images, batch_size, verbose=0)[category]
            class_ids = answers.argmax(axis=1).astype(np.int32)
        maps = [
            evidence(
                one.model,
                one.images(images),
                category,
                class_ids,
                stage=stage,
                batch_size=batch_size,
            )
            for one in members
        ]
        return _mean_map(maps)
    weigh = _weigher(model, [category], stage)
    parts = [slice(i, i + batch_size) for i in range(0, len(images), batch_size)]
    maps = [
        weigh(tf.constant(images[part]), tf.constant(class_ids[None, part]))[0] for part in parts
    ]
    return np.concatenate(maps)


class Explainer:
    """Shows what each category's answer hangs on, for crops as they come.

    Compiled once for all categories, which share the way to the feature map.

    Args:
        model: the network.
        normalization: of its images.
        stage: whose feature map is read; None = the last one that has four cells a side or
            more, which is the last of all from 97 pixels on. Of an ensemble, the smallest member
            decides.

    Attributes:
        stage: the same.
        categories: in the order of the maps.
    """

    def __init__(
        self, model: keras.Model, normalization: Normalization, stage: int | None = None
    ) -> None:
        members = members_of(model)
        size = min([model.input_shape[1], *(one.model.input_shape[1] for one in members)])
        fine = [n for n in (2, 3, 4, LAST_STAGE) if -(-size // 2**n) >= _LEAST_CELLS]
        first = members[0].model if members else model
        last = max(stage_maps(backbone_of(first)))
        self.stage = stage or min(max(fine, default=2), last)
        self.categories = list(model.output)
        self._normalization = normalization
        self._members = [
            (one.images, Explainer(one.model, normalization, self.stage)) for one in members
        ]
        if self._members:
            self._answer = tf.function(lambda images: model(images, training=False))
            return
        self._weigh = _weigher(model, self.categories, self.stage)
        attention = attention_of(model)
        self._looking = attention.categories if attention else []
        self._look = attention and _looker(model, attention)

    def explain(
        self, crops: np.ndarray, answers: Mapping[str, np.ndarray] | None = None
    ) -> dict[str, np.ndarray]:
        """Maps each category's answer: category -> float32 ``[n, rows, columns]``, 0 to 1.

        Of an ensemble, the mean of what its members say of its answer.

        Args:
            crops: uint8 ``[n, size, size, 3]``, RGB.
            answers: category -> int ``[n]``, class ids; None = the network's own answers, which
                adjusted ones may differ from.
        """
        asked = np.full((len(self.categories), len(crops)), -1, np.int32)
        images = self._normalized(crops)
        if answers is not None:
            asked = np.stack([answers[c] for c in self.categories]).astype(np.int32)
        elif self._members:
            found = self._answer(images)
            asked = np.stack([np.argmax(found[c], axis=1) for c in self.categories])
        if self._members:
            asked = tf.constant(asked, tf.int32)
            found = _mean_map(
                [one._weigh(prepare(images), asked).numpy() for prepare, one in self._members]
            )
        else:
            found = self._weigh(images, tf.constant(asked)).numpy()
        return {c: _up_to_1(maps) for c, maps in zip(self.categories, found, strict=True)}

    def look(self, crops: np.ndarray) -> dict[str, np.ndarray]:
        """Maps what each category's head looks at, which costs no gradient.

        Args:
            crops: uint8 ``[n, size, size, 3]``, RGB.

        Returns:
            category -> float32 ``[n, rows, columns]``, 0 to 1, the attention divided by its
            highest value: all 1 where a head looks everywhere alike. Empty where the heads are
            of those that do not look.
        """
        return self._look_at(self._normalized(crops))

    def _look_at(self, images: tf.Tensor) -> dict[str, np.ndarray]:
        if self._members:
            looks = [
                found for prepare, one in self._members if (found := one._look_at(prepare(images)))
            ]
            return {c: _mean_map([found[c] for found in looks]) for c in (looks or [{}])[0]}
        if not self._look:
            return {}
        found = self._look(images).numpy()
        return {c: _up_to_1(found[..., k]) for k, c in enumerate(self._looking)}

    def _normalized(self, crops: np.ndarray) -> tf.Tensor:
        return normalize(tf.constant(crops), self._normalization)


def overlay(image: np.ndarray, heat: np.ndarray) -> np.ndarray:
    """Lays a map over its image: grey where it is 0, through violet to yellow where it is 1.

    Args:
        image: uint8 ``[height, width, 3]``, RGB, of any size.
        heat: float ``[rows, columns]``, 0 to 1, interpolated to the image's size.

    Returns:
        uint8 ``[height, width, 3]``.
    """
    heat = tf.image.resize(heat[..., None], image.shape[:2], method="bilinear").numpy()
    grey = image.mean(axis=-1, keepdims=True)
    colour = 255.0 * colormaps["plasma"](heat[..., 0])[..., :3]
    share = 0.7 * heat
    return np.round((1.0 - share) * grey + share * colour).astype(np.uint8)


def _weigher(model: keras.Model, categories: Sequence[str], stage: int):
    """Makes the compiled function from images and class ids to maps.

    Behind the backbone stand the fully connected layers, or the attention, and the heads,
    whose softmax is left out.

    Returns:
        (images, class ids ``[categories, n]``, -1 stands for the answer) -> maps,
        ``[categories, n, rows, columns]``.
    """
    network = backbone_of(model)
    with_map = keras.Model(network.input, [_feature_map(network, stage), *network.outputs])
    heads = [model.get_layer(category) for category in categories]
    read_by_heads = _between(model, network, categories)

    def totals(outputs: list[tf.Tensor], class_ids: tf.Tensor) -> list[tf.Tensor]:
        found = []
        for head, features, asked in zip(
            heads, read_by_heads(outputs), tf.unstack(class_ids, len(heads)), strict=True
        ):
            logits = tf.matmul(tf.cast(features, tf.float32), head.kernel) + head.bias
            answered = tf.argmax(logits, axis=-1, output_type=tf.int32)
            chosen = tf.where(asked < 0, answered, asked)
            # An image's logit hangs on its own map alone, so the gradient of the sum is each's.
            found.append(tf.reduce_sum(tf.gather(logits, chosen, batch_dims=1)))
        return found

    shapes = [
        tf.TensorSpec((None, *network.input_shape[1:])),
        tf.TensorSpec((len(heads), None), tf.int32),
    ]

    @tf.function(input_signature=shapes, autograph=False)
    def weigh(images: tf.Tensor, class_ids: tf.Tensor) -> tf.Tensor:
        maps, *outputs = with_map(images, training=False)
        found = []
        for total in totals(outputs, class_ids):
            # Unlike a tape's, these go back as far as the map and no further.
            (gradients,) = tf.gradients(total, maps)
            weights = tf.reduce_mean(tf.cast(gradients, tf.float32), axis=(1, 2), keepdims=True)
            found.append(tf.reduce_sum(weights * tf.cast(maps, tf.float32), axis=-1))
        return tf.stack(found)

    # A new function each time is no mistake here, which its own call would warn of.
    return weigh.get_concrete_function()


def _between(model: keras.Model, network: keras.Model, categories: Sequence[str]):
    """Makes the function from the backbone's outputs to what each category's head reads."""
    # A category may begin with "fc", too.
    names = {f"fc{number}" for number in range(1, len(FC_WIDTHS) + 1)}
    fully_connected = [layer for layer in model.layers if layer.name in names]
    attention = attention_of(model)
    standardized = None
    if "standardization" in [layer.name for layer in model.layers]:
        (read,) = (call.outputs for call in calls_of(model) if call.operation is network)
        standardized = keras.Model(read, model.get_layer("standardization").output)

    def read_by_heads(outputs: list[tf.Tensor]) -> list[tf.Tensor]:
        if attention:
            of_category = dict(zip(attention.categories, attention(outputs), strict=True))
            return [of_category[category] for category in categories]
        (features,) = outputs if standardized is None else [standardized(outputs)]
        for layer in fully_connected:
            features = layer(features)
        return [features] * len(categories)

    return read_by_heads


def _looker(model: keras.Model, attention: AttentionPooling):
    """Makes the compiled function from images to what each category looks at.

    Returns:
        images -> attention, ``[n, rows, columns, categories]``, of the finest map; the others'
        is enlarged to it, and the mean of all is taken.
    """
    network = backbone_of(model)

    @tf.function(input_signature=[tf.TensorSpec((None, *network.input_shape[1:]))], autograph=False)
    def look(images: tf.Tensor) -> tf.Tensor:
        _, *maps = network(images, training=False)
        found = attention.attend(maps)  # the finest first
        highest = [one / tf.reduce_max(one, axis=(1, 2), keepdims=True) for one in found]
        sides = found[0].shape[1:3]
        return tf.add_n([tf.image.resize(one, sides) for one in highest]) / len(found)

    return look.get_concrete_function()


def _mean_map(maps: Sequence[np.ndarray]) -> np.ndarray:
    """Computes the mean of the members' maps, ``[..., rows, columns]``, as fine as the finest."""
    sides = max(found.shape[-2:] for found in maps)

    def enlarge(found: np.ndarray) -> np.ndarray:
        if found.shape[-2:] == sides:
            return found
        plain = found.reshape(-1, *found.shape[-2:], 1)
        return tf.image.resize(plain, sides).numpy().reshape(*found.shape[:-2], *sides)

    return np.mean([enlarge(found) for found in maps], axis=0)


def _feature_map(network: keras.Model, stage: int):
    """Finds the output of a backbone's stage.

    Raises:
        InputError: there is no such stage.
    """
    try:
        return stage_output(network, stage)
    except ValueError as error:
        raise InputError(f"{str(error).capitalize()}.") from error


def _class_ids(model: keras.Model, category: str, class_id: int | np.ndarray | None) -> np.ndarray:
    """Checks a question; -1 = about the answer.

    Raises:
        InputError: the model has no such category or attribute.
    """
    if category not in model.output:
        raise InputError(
            f"The model does not answer {category!r}: name one of {', '.join(model.output)}."
        )
    if class_id is None:
        return np.int32(-1)
    count = model.output[category].shape[-1]
    if np.min(class_id) < 0 or np.max(class_id) >= count:
        raise InputError(f"{category} has no class {class_id}: its class ids are 0 to {count - 1}.")
    return np.int32(class_id)
