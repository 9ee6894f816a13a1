"""Evaluates a run on a split."""

from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf

from deepfashion_tf.category import Category
from deepfashion_tf.data.balance import count_classes
from deepfashion_tf.data.check import BadImages, SkippedImages, find_bad_images
from deepfashion_tf.data.pipeline import evaluation_dataset
from deepfashion_tf.data.reading import DirectReader, Reader, SkippingReader
from deepfashion_tf.data.sources import open_splits
from deepfashion_tf.data.split import Split
from deepfashion_tf.errors import InputError
from deepfashion_tf.evaluation.answers import Answers
from deepfashion_tf.evaluation.scores import Adjustment, CategoryScore, Detection, Scores, score
from deepfashion_tf.evaluation.statistics import Interval, over_resamples
from deepfashion_tf.inference.adjustment import shares_of
from deepfashion_tf.inference.calibration import (
    CALIBRATION_FILE,
    Calibration,
    Reliability,
    certainty,
    decide,
)
from deepfashion_tf.inference.items import items_of
from deepfashion_tf.inference.predictor import Predictor
from deepfashion_tf.models.views import with_views
from deepfashion_tf.progress import console, progress_bar
from deepfashion_tf.runs.run import Run
from deepfashion_tf.schema import UNLABELLED
from deepfashion_tf.usage import command


def predict_split(
    run: Run,
    model: keras.Model,
    split: Split,
    task: str = "predicting",
    reader: Reader | None = None,
) -> dict[str, np.ndarray]:
    """Answers for every image of a split, in order.

    Args:
        run: whose image size and normalization the model expects.
        model: outputs named by category.
        split: the images.
        task: what the progress bar says.
        reader: gives the images; None = decodes each, and stops where one cannot be read.

    Returns:
        category -> probabilities, float32 ``[images, classes]``.

    Raises:
        BadImages: an image cannot be decoded.
    """
    reader = reader or DirectReader(split, run.config.image_size)
    batches = evaluation_dataset(split, reader, run.normalization, batch_size=run.config.batch_size)
    size = run.config.image_size
    # Of any number of images, so that a split's last batch is not traced anew.
    answer = tf.function(
        with_views(model, run.config.tta),
        autograph=False,
        input_signature=[tf.TensorSpec([None, size, size, 3])],
    )
    parts: dict[str, list[np.ndarray]] = {category: [] for category in run.schema}
    done = 0
    try:
        with progress_bar(task, len(split)) as on_progress:
            for images, _ in batches:
                for category, probabilities in answer(images).items():
                    parts[category].append(probabilities.numpy())
                done += len(images)
                on_progress(done, len(split))
    except tf.errors.OpError as error:
        found = find_bad_images([split])
        raise (BadImages(found) if found else error) from error
    return {category: np.concatenate(values) for category, values in parts.items()}


@dataclass(frozen=True)
class Answered:
    """Images and what a model has answered for them.

    Attributes:
        split: the images, in the categories that are answered.
        raw: category -> probabilities as the network gives them, float ``[images, classes]``.
        calibration: that makes them mean what they say.
        engine: that has answered.
    """

    split: Split
    raw: dict[str, np.ndarray]
    calibration: Calibration
    engine: str = "tensorflow"

    @cached_property
    def probabilities(self) -> dict[str, np.ndarray]:
        """Category -> adjusted and calibrated probabilities."""
        return self.calibration.scale(self.raw)

    @cached_property
    def answers(self) -> dict[str, np.ndarray]:
        """Category -> class ids of the answers, int ``[images]``."""
        return self.calibration.decide(self.probabilities)

    @property
    def table(self) -> Answers:
        """Every image's answers beside its labels."""
        return Answers.of(self.split, self.probabilities, self.answers)

    def scores(self) -> Scores:
        """Scores them against the labels, and the probabilities against the hits."""
        scores = score(self.split, np.stack(list(self.answers.values()), axis=1))
        return replace(
            scores,
            categories={
                name: self._scored(name, found) for name, found in scores.categories.items()
            },
            adjustment=self._adjustment(),
        )

    def _scored(self, category: str, found: CategoryScore) -> CategoryScore:
        """Adds what the probabilities of a category are worth to its scores."""
        labels = self.split.labels_of(category)
        known = labels != UNLABELLED
        if not known.any():
            return found
        raw, scaled = self.raw[category][known], self.probabilities[category][known]
        answers, labels = self.answers[category][known], labels[known]
        last = scaled.shape[1] - 1
        return replace(
            found,
            calibration_error=_calibration_error(scaled, answers, labels),
            calibration_error_before=_calibration_error(raw, raw.argmax(axis=1), labels),
            detection=Detection.of(scaled[:, -1], answers == last, labels == last)
            if found.detects
            else None,
        )

    def detection_intervals(self) -> dict[str, Interval]:
        """Computes mean AP, mean F1 and applicability F1, with intervals over images."""
        asked = [
            (part.is_optional, self.probabilities[part.name][:, -1], *self._presence(part))
            for part in self.split.schema.categories
            if part.detects
        ]

        def measure(rows: np.ndarray) -> list[float]:
            values: list[list[float]] = [[np.nan], [np.nan], [np.nan]]
            for is_applicability, probabilities, found, is_there, known in asked:
                some = rows[known[rows]]
                if not len(some) or not is_there[some].any():
                    continue
                one = Detection.of(probabilities[some], found[some], is_there[some])
                values[2 if is_applicability else 1].append(one.f1)
                if not is_applicability:
                    values[0].append(one.average_precision)
            return [np.mean(some[1:]) if some[1:] else np.nan for some in values]

        names = ("mean_average_precision", "mean_f1", "applicability_f1")
        found = over_resamples(measure, len(self.split)) if asked else []
        return dict(zip(names, found, strict=False))

    def _presence(self, part: Category) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Returns which images are answered to have what a part detects, have it, are labelled."""
        labels, last = self.split.labels_of(part.name), len(part.attributes) - 1
        return self.answers[part.name] == last, labels == last, labels != UNLABELLED

    def _adjustment(self) -> Adjustment | None:
        if not self.calibration.recall_price:
            return None
        own = [decide(values) for values in self.raw.values()]
        before = score(self.split, np.stack(own, axis=1))
        return Adjustment(
            self.calibration.recall_price,
            self.calibration.recall_weight,
            before.mean_accuracy,
            before.mean_class_recall,
        )

    def save(self, path: Path) -> None:
        """Writes every image's answer (see `Answers`)."""
        self.table.save(path)


def _calibration_error(probabilities: np.ndarray, answers: np.ndarray, labels: np.ndarray) -> float:
    hits = (answers == labels).astype(float)
    return Reliability.of(certainty(probabilities, answers), hits).error


def evaluate(run: Run, split: Split, skipped: SkippedImages | None = None) -> Scores:
    """Scores a run's best model on a split, as `answer_labelled` answers for it."""
    return answer_labelled(run, split, skipped).scores()


def answer_labelled(
    run: Run,
    split: Split,
    skipped: SkippedImages | None = None,
    calibrate: bool = False,
    engine: str = "tensorflow",
    recall_price: float | None = None,
    model: keras.Model | None = None,
) -> Answered:
    """Answers for a split that can be scored, in the categories that the run was trained in.

    Images that cannot be read are no part of it if the run's training skips such.

    Args:
        run: the run.
        split: the images.
        skipped: takes what cannot be read; None = nobody asks.
        calibrate: fit the run's calibration on this split, its validation split, and keep it.
        engine: as of `answer`; only what TensorFlow answers is fitted on.
        recall_price: as `Calibration.fit` takes it; None = that of the calibration before, or the
            run's ``--recall-price`` where there is none.
        model: of ``run.load_model()``; None = it is loaded.

    Raises:
        InputError: nothing in the split is labelled, or an image cannot be decoded.
    """
    if not set(split.labelled_categories()) & set(run.trained):
        raise InputError(
            f"Nothing in the split {split.name!r} ({split.source}) is labelled in "
            f"{', '.join(run.trained)}, so there is nothing to score: name another --split, or "
            f"use {command('predict')}."
        )
    answered = answer(run, split, skipped, engine, model)
    if calibrate and engine == "tensorflow":
        labels = {category: answered.split.labels_of(category) for category in answered.raw}
        before = answered.calibration
        if recall_price is None:
            recall_price = before.recall_price if before else run.config.recall_price
        shares = before.shares or _training_shares(run, is_needed=recall_price > 0)
        parts = [found.name for found in run.schema.categories if found.part_of]
        fitted = Calibration.fit(answered.raw, labels, shares, recall_price, parts)
        answered = replace(answered, calibration=fitted)
        fitted.save(run.directory / CALIBRATION_FILE)
    return answered


def _training_shares(run: Run, is_needed: bool) -> dict[str, np.ndarray] | None:
    """Returns the shares of the attributes among the run's training images; decodes none.

    Raises:
        InputError: they are needed, and the training split cannot be read.
    """
    try:
        (split,) = open_splits(run.config, ["train"], run.schema, check_images=False)
    except InputError:
        if is_needed:
            raise
        return None
    return {category: shares_of(counts) for category, counts in count_classes(split).items()}


def answer(
    run: Run,
    split: Split,
    skipped: SkippedImages | None = None,
    engine: str = "tensorflow",
    model: keras.Model | None = None,
) -> Answered:
    """Answers, by a run's best model, for the images of a split, labelled or not.

    Args:
        run: the run.
        split: the images.
        skipped: takes what cannot be read, if the run's training skips such.
        engine: tensorflow = the run's model itself; another, or auto = as `Predictor.load`.
        model: of ``run.load_model()``; None = it is loaded.

    Returns:
        The images that could be read, in the categories that the run was trained in, and the
        answers.

    Raises:
        InputError: an image cannot be decoded.
    """
    if engine != "tensorflow":
        predictor = Predictor.load(run.directory, engine).crop_as_training()
        return _answer_by(predictor, run, split, skipped)
    task, reader = f"evaluating {split.name} images", None
    if run.config.on_bad_image == "skip":
        skipped = SkippedImages() if skipped is None else skipped
        reader = SkippingReader(split, run.config.image_size, skipped.note)
    probabilities = predict_split(run, model or run.load_model(), split, task, reader)
    probabilities = {category: probabilities[category] for category in run.trained}
    known = split.select(run.trained)
    if reader and reader.bad:
        read = np.setdiff1d(np.arange(len(split)), list(reader.bad))
        known = known.take(read, split.name)
        probabilities = {category: values[read] for category, values in probabilities.items()}
    return Answered(
        known, probabilities, Calibration.load(run.directory / CALIBRATION_FILE, run.schema)
    )


def _answer_by(
    predictor: Predictor, run: Run, split: Split, skipped: SkippedImages | None
) -> Answered:
    """Answers as a shop's catalogue is answered: by an export, image by image as they come."""
    console.print(f"answered by {predictor.engine}", style="dim")
    predictor.accept_damaged = split.accepts_damage
    parts, faults, done = [], {}, 0
    with progress_bar(f"evaluating {split.name} images", len(split)) as on_progress:
        for batch in predictor.stream(items_of(split)):
            parts.append(batch.probabilities)
            faults |= {done + row: fault for row, fault in enumerate(batch.faults) if fault}
            done += len(batch.items)
            on_progress(done, len(split))
    if faults and run.config.on_bad_image != "skip":
        raise BadImages([(split, faults)])
    for row, fault in faults.items():
        if skipped is not None:
            skipped.note(split.keys[row], fault)
    read = np.setdiff1d(np.arange(len(split)), list(faults))
    found = {
        category: np.concatenate([part[category] for part in parts]) for category in run.trained
    }
    # An export has its calibration in it; taken out again, these are the network's own answers.
    raw = predictor.calibration.unscale(found)
    known = split.select(run.trained).take(read, split.name)
    return Answered(known, raw, predictor.calibration, predictor.engine.name)
