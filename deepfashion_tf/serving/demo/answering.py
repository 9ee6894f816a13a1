"""Answers and heat maps for one uploaded file, as the page gets them."""

import base64
import threading
from collections.abc import Mapping

import cv2
import numpy as np

from deepfashion_tf.category import Category
from deepfashion_tf.data.boxes import enlarged_box
from deepfashion_tf.data.headers import image_size
from deepfashion_tf.data.plain import decode_any
from deepfashion_tf.data.split import WHOLE_IMAGE
from deepfashion_tf.errors import InputError, printable
from deepfashion_tf.inference.explanations import Explainer, overlay
from deepfashion_tf.inference.items import Box, Item
from deepfashion_tf.inference.predictor import Predictor
from deepfashion_tf.serving.web.uploads import Refusal, size_fault

HEAT_MAP_SIDE = 448  # pixels of the longer side
_GAP = 8


class Answering:
    """Answers for the bytes of a file, from any thread.

    Args:
        predictor: the model.

    Attributes:
        no_heat_maps: why there are none; None where there are.
    """

    def __init__(self, predictor: Predictor) -> None:
        self._predictor, self._one_at_a_time = predictor, threading.Lock()
        self._explainer: Explainer | None = None
        self.no_heat_maps: str | None = None
        try:
            self._explainer = predictor.explainer()
        except InputError:
            self.no_heat_maps = (
                "An export has no gradients, so there are no heat maps of where the answers come "
                "from: start the demo with the run directory to see them."
            )

    def answer(self, encoded: bytes, box: Box | None) -> Mapping:
        """Answers in all categories.

        Args:
            encoded: a file as it was uploaded.
            box: x1 y1 x2 y2 in half-open pixels of the upright image; None = all of it.

        Returns:
            Category -> attributes and their probabilities, the likeliest first. Those of kind
            multi each have a probability of their own.

        Raises:
            Refusal: the file or the box cannot be used.
        """
        crop = self._crop(encoded, box)
        found = self._answer(crop)
        return {
            category: [
                {"attribute": attribute, "probability": round(probability, 6)}
                for attribute, probability in _ranked(parts, found)
            ]
            for category, parts in self._learnt().items()
        }

    def _learnt(self) -> dict[str, tuple[Category, ...]]:
        """Returns the categories that were learnt, as a user knows them, and their parts."""
        untrained, groups = self._predictor.untrained, self._predictor.schema.groups
        learnt = {
            name: tuple(part for part in parts if part.name not in untrained)
            for name, parts in groups.items()
        }
        return {name: parts for name, parts in learnt.items() if parts}

    def heat_maps(self, encoded: bytes, box: Box | None) -> Mapping:
        """Draws each category's Grad-CAM map over the part of the picture that was answered.

        To its right stands what the category's head looks at, where heads look.

        Args:
            encoded: as `answer` takes it.
            box: as `answer` takes it.

        Returns:
            Category -> a JPEG as a ``data:`` address.

        Raises:
            Refusal: as of `answer`, or there are no heat maps.
        """
        if not self._explainer:
            raise Refusal(self.no_heat_maps, status=404)
        crop = self._crop(encoded, box)
        answers = self._answer(crop)
        with self._one_at_a_time:
            given = self._predictor.calibration.decide(answers)
            found = [self._explainer.explain(crop[None], given), self._explainer.look(crop[None])]
        picture = _shown(encoded, box, self._predictor.padding)
        shown = {
            category: max(parts, key=lambda part: answers[part.name][0, -1]).name
            for category, parts in self._learnt().items()
        }
        return {
            category: _address_of(
                _beside([overlay(picture, heats[part][0]) for heats in found if heats])
            )
            for category, part in shown.items()
        }

    def _answer(self, crop: np.ndarray) -> Mapping[str, np.ndarray]:
        try:
            with self._one_at_a_time:
                return self._predictor.answer(crop[None])
        except InputError as error:
            raise Refusal(f"The model has no answer: {printable(str(error))}", 500) from error

    def _crop(self, encoded: bytes, box: Box | None) -> np.ndarray:
        if fault := size_fault(encoded):
            raise Refusal(f"The picture {fault}.", 413 if encoded else 422)
        (found,) = self._predictor.crops([Item("", box or WHOLE_IMAGE, encoded=encoded)])
        if isinstance(found, str):
            raise Refusal(f"The picture {printable(found)}.")
        return found


def _ranked(
    parts: tuple[Category, ...], found: Mapping[str, np.ndarray]
) -> list[tuple[str, float]]:
    """Returns attributes and probabilities of one image, the likeliest first."""
    if parts[0].part_of:
        values = [(part.attributes[1], float(found[part.name][0, 1])) for part in parts]
    else:
        values = zip(parts[0].attributes, found[parts[0].name][0].tolist(), strict=True)
    return sorted(values, key=lambda one: -one[1])


def _shown(encoded: bytes, box: Box | None, padding: float) -> np.ndarray:
    """Decodes what was answered, at a size for the eye, in its own proportions."""
    box = enlarged_box(box or WHOLE_IMAGE, image_size(encoded), padding)
    picture = decode_any(encoded, box)
    scale = HEAT_MAP_SIDE / max(picture.shape[:2])
    size = [max(1, round(side * scale)) for side in picture.shape[1::-1]]
    way = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
    return cv2.resize(picture, size, interpolation=way)


def _beside(pictures: list[np.ndarray]) -> np.ndarray:
    """Puts pictures of the same height into a row."""
    first, *others = pictures
    gap = np.full((len(first), _GAP, 3), 255, np.uint8)
    return np.hstack([first, *(part for other in others for part in (gap, other))])


def _address_of(picture: np.ndarray) -> str:
    _, encoded = cv2.imencode(".jpg", cv2.cvtColor(picture, cv2.COLOR_RGB2BGR))
    return f"data:image/jpeg;base64,{base64.b64encode(encoded).decode('ascii')}"
