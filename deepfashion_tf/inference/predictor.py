"""The one that answers: images in, calibrated probabilities out, whatever the model's form.

TensorFlow is imported only where it answers; other engines get their crops from `data.crops`.

Reading and decoding run on threads of their own, a bounded number of images ahead of the
network, so that memory stays flat however long the list is.
"""

import itertools
import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING

import numpy as np

from deepfashion_tf.command_line import import_tensorflow
from deepfashion_tf.data.crops import CropFault, crop_of
from deepfashion_tf.data.headers import reading_fault
from deepfashion_tf.errors import InputError
from deepfashion_tf.inference.batch import Batch, Probabilities
from deepfashion_tf.inference.calibration import CALIBRATION_FILE, Calibration
from deepfashion_tf.inference.engine_names import EngineChoice, EngineName
from deepfashion_tf.inference.engines import (
    ENGINES,
    Answer,
    Running,
    open_engine,
)
from deepfashion_tf.inference.exported import (
    Assets,
    check_network,
    check_probabilities,
    engine_of,
    fastest_engine,
    is_made_of,
    read_assets,
)
from deepfashion_tf.inference.items import Item, fetched
from deepfashion_tf.runs.config import CONFIG_FILE
from deepfashion_tf.runs.run import MODEL_FILE, SCHEMA_FILE, Run
from deepfashion_tf.schema import Schema
from deepfashion_tf.usage import command

if TYPE_CHECKING:
    import keras

    from deepfashion_tf.inference.explanations import Explainer

# Of items, with a padding, and whether damaged JPEGs are accepted: a crop or a fault each.
CropSome = Callable[[Sequence[Item], float, bool], list[str | np.ndarray]]
_LEAST, _MOST = 32, 128  # images that the network is given at once
_PIXELS = 2**19  # of these, between the two
_THREADS = os.cpu_count() or 1
_AT_ONCE = 16  # images that one call of the decoder gets: a call an image costs more than decoding
_AHEAD = 4 * _THREADS  # such calls that wait to be answered


class Predictor:
    """Answers for images with a run's best model, a ``model.keras`` of one, or its export.

    Attributes:
        name: of what was loaded.
        schema: its categories.
        untrained: those in which no training image was labelled, so that answers mean nothing.
        image_size: side of the crops in pixels.
        padding: share of a box's sides by which it is enlarged before it is cropped to.
        calibration: of the probabilities, already applied to them.
        engine: that answers.
        accept_damaged: also answers for JPEGs of which a part is missing.
    """

    def __init__(
        self,
        name: str,
        schema: Schema,
        untrained: Sequence[str],
        image_size: int,
        calibration: Calibration,
        answer: Answer,
        engine: Running,
        explainer: "Callable[[], Explainer] | None" = None,
        padding: float = 0.0,
        crop_some: CropSome | None = None,
    ) -> None:
        self.name, self.schema, self.untrained = name, schema, tuple(untrained)
        self.image_size, self.calibration, self._answer = image_size, calibration, answer
        self.engine, self.padding, self.accept_damaged = engine, padding, False
        self._crop_some, self._explainer = crop_some, explainer

    @classmethod
    def load(
        cls, path: Path | str, engine: EngineChoice = "auto", exact: bool = False
    ) -> "Predictor":
        """Loads a run directory, the ``model.keras`` in one, or an export.

        Args:
            path: of one of these.
            engine: auto = of a run, the fastest engine that is installed and that the run has
                been exported for since it was trained; TensorFlow otherwise.
            exact: compute in float32, where OpenVINO would take bfloat16.

        Raises:
            InputError: it is none of these, is broken, or is none of the engine's.
        """
        path = Path(path)
        if kind := engine_of(path):
            if engine not in ("auto", kind):
                raise InputError(
                    f"{path} is an export for {kind}: leave out --engine {engine}, or name "
                    f"the run that it was made of."
                )
            if kind == "tensorflow":
                return cls._of_export(path)
            return cls._of_network(path, kind, exact=exact)
        if path.suffix == ".keras":
            if path.name != MODEL_FILE or not (path.parent / CONFIG_FILE).is_file():
                raise InputError(
                    f"{path} is no {MODEL_FILE} with a {CONFIG_FILE} beside it, which holds the "
                    f"normalization of its images: name the one in its run directory, or an export."
                )
            path = path.parent
        run = Run.load(path)
        chosen = fastest_engine(run, exact) if engine == "auto" else engine
        if chosen == "tensorflow":
            return cls.of_run(run)
        about = ENGINES[chosen]
        if engine != "auto" and not is_made_of(run, run.directory / about.folder):
            raise InputError(
                f"{run.directory} has no export for {chosen} of its present model: "
                f"{command('export')} {run.directory} --formats {about.format} makes it."
            )
        found = cls._of_network(
            run.directory / about.folder,
            chosen,
            lambda: _explainer(run, run.load_model()),
            exact,
        )
        if different := run.schema.differences(found.schema):
            raise InputError(
                f"{run.directory} and its export for {chosen} have other categories "
                f"({different[0]}): undo the change of {SCHEMA_FILE}, or export the run again."
            )
        found.name = str(run.directory)
        return found

    @classmethod
    def of_run(cls, run: Run, model: "keras.Model | None" = None) -> "Predictor":
        """Answers with a run's best model, by TensorFlow; `model` = it is loaded already."""
        engine = _tensorflow()
        model = model or run.load_model()
        return cls(
            str(run.directory),
            run.schema,
            run.config.untrained,
            run.config.image_size,
            Calibration.load(run.directory / CALIBRATION_FILE, run.schema),
            engine.answer_of_run(run, model),
            engine.running("float32"),
            lambda: _explainer(run, model),
            run.config.box_padding,
            engine.cropper(run.config.image_size),
        )

    @classmethod
    def _of_export(cls, path: Path) -> "Predictor":
        assets = read_assets(path, needs_size=False)
        engine = _tensorflow()
        answer, size = engine.open_saved_model(path, assets)
        running, crop = engine.running("SavedModel"), engine.cropper(size)
        return cls._of_assets(path, assets, size, answer, running, crop_some=crop)

    @classmethod
    def _of_network(
        cls,
        path: Path,
        engine: EngineName,
        explainer: "Callable[[], Explainer] | None" = None,
        exact: bool = False,
    ) -> "Predictor":
        assets = read_assets(path)
        size = assets.image_size
        is_loaded = ENGINES[engine].package == "tensorflow"
        crop = _tensorflow().cropper(size) if is_loaded else None
        answer, words = open_engine(engine, path / ENGINES[engine].file, exact)
        check_network(path, answer, assets)
        return cls._of_assets(path, assets, size, answer, words, explainer, crop)

    @classmethod
    def _of_assets(
        cls,
        path: Path,
        assets: Assets,
        size: int,
        answer: Answer,
        engine: Running,
        explainer: "Callable[[], Explainer] | None" = None,
        crop_some: CropSome | None = None,
    ) -> "Predictor":
        return cls(
            str(path),
            assets.schema,
            assets.untrained,
            size,
            assets.calibration,
            answer,
            engine,
            explainer,
            assets.padding,
            crop_some,
        )

    def crop_as_training(self) -> "Predictor":
        """Takes TensorFlow's crops, whatever answers: scores of engines are of the same pixels."""
        self._crop_some = self._crop_some or _tensorflow().cropper(self.image_size)
        return self

    @property
    def batch_size(self) -> int:
        """Images that the network is given at once: of small ones it takes many to be fast."""
        return min(_MOST, max(_LEAST, _PIXELS // self.image_size**2))

    def explainer(self) -> "Explainer":
        """Makes what shows where answers come from.

        Raises:
            InputError: an export has no gradients.
        """
        if not self._explainer:
            raise InputError(
                f"{self.name} is an export, which has no gradients for heat maps: name the "
                f"run directory that it was made of."
            )
        return self._explainer()

    def answer(self, crops: np.ndarray) -> Probabilities:
        """Answers for ready crops, uint8 ``[n, size, size, 3]``: category -> ``[n, classes]``.

        Raises:
            InputError: an answer is NaN.
        """
        if not len(crops):
            return self._nothing()
        found = self._answer(crops)
        check_probabilities(self.name, found)
        return {category: found[category] for category in self.schema}

    def stream(
        self,
        items: Iterable[Item],
        batch_size: int | None = None,
        answer: Callable[[np.ndarray], Probabilities] | None = None,
    ) -> Iterator[Batch]:
        """Answers for images one after the other, those that cannot be read left out.

        Args:
            items: the images; asked for as they are needed.
            batch_size: images that the network is given at once; None = as is fast.
            answer: what is computed of crops; None = `answer`.

        Yields:
            Batches of up to `batch_size` images, in the order of the items.
        """
        batch_size = batch_size or self.batch_size
        for items_read, faults, crops in _batches(self.read(items), batch_size):
            found = (answer or self.answer)(crops)
            yield Batch(items_read, faults, crops, found)

    def _nothing(self) -> Probabilities:
        return {
            name: np.empty((0, len(values)), np.float32) for name, values in self.schema.items()
        }

    def read(self, items: Iterable[Item]) -> Iterator[tuple[Item, str | np.ndarray]]:
        """Returns each item with its crop, uint8 ``[size, size, 3]``, or what is wrong with it."""
        items = fetched(items)
        waiting: deque = deque()
        with ThreadPoolExecutor(_THREADS, thread_name_prefix="decode") as pool:
            try:
                while True:
                    while len(waiting) < _AHEAD and (
                        some := list(itertools.islice(items, _AT_ONCE))
                    ):
                        waiting.append((some, pool.submit(self.crops, some)))
                    if not waiting:
                        return
                    some, found = waiting.popleft()
                    yield from zip(some, found.result(), strict=True)
            finally:
                pool.shutdown(cancel_futures=True)

    def crops(self, items: Sequence[Item]) -> list[str | np.ndarray]:
        """Reads, decodes, crops and resizes images: uint8 ``[size, size, 3]``, or a fault each."""
        if self._crop_some:
            return self._crop_some(items, self.padding, self.accept_damaged)
        return [self._crop(item) for item in items]

    def _crop(self, item: Item) -> str | np.ndarray:
        if item.fault:
            return item.fault
        try:
            encoded = item.read()
        except (OSError, ValueError) as error:
            return reading_fault(error)
        try:
            return crop_of(encoded, item.box, self.image_size, self.padding, self.accept_damaged)
        except CropFault as fault:
            return str(fault)


def _tensorflow() -> ModuleType:
    """Imports what answers by TensorFlow, which takes seconds."""
    import_tensorflow()
    from deepfashion_tf.inference import tensorflow_engine

    return tensorflow_engine


def _explainer(run: Run, model: "keras.Model") -> "Explainer":
    import_tensorflow()
    from deepfashion_tf.inference.explanations import Explainer

    return Explainer(model, run.normalization)


def _batches(
    read: Iterator[tuple[Item, str | np.ndarray]], batch_size: int
) -> Iterator[tuple[list[Item], list[str | None], np.ndarray]]:
    """Gathers crops until there are enough for a batch; what is faulty rides along."""
    items, faults, crops = [], [], []
    for item, found in read:
        is_fault = isinstance(found, str)
        items.append(item)
        faults.append(found if is_fault else None)
        if not is_fault:
            crops.append(found)
        if len(crops) == batch_size or len(items) == 8 * batch_size:
            yield items, faults, np.array(crops)
            items, faults, crops = [], [], []
    if items:
        yield items, faults, np.array(crops)
