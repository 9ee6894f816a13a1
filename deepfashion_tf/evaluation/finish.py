"""What stands at the end of a training run: scores, curves, table."""

from collections.abc import Callable
from pathlib import Path

import keras

from deepfashion_tf.data.check import SkippedImages
from deepfashion_tf.data.split import Split
from deepfashion_tf.data.tfds import PREFIX
from deepfashion_tf.evaluation.curves import save_curves
from deepfashion_tf.evaluation.evaluate import answer_labelled
from deepfashion_tf.evaluation.scores import METRICS_FILE, Scores
from deepfashion_tf.evaluation.table import print_scores
from deepfashion_tf.evaluation.tradeoff import TRADEOFF_FILE, save_tradeoff
from deepfashion_tf.progress import console
from deepfashion_tf.runs.run import Run
from deepfashion_tf.training.state import remove_checkpoints


def finish_run(
    run: Run,
    val: Split,
    is_complete: bool = True,
    export: Callable[[Run, keras.Model], object] | None = None,
) -> Scores:
    """Scores and calibrates the best model on the validation split.

    Writes metrics.json, calibration.json, curves.png and tradeoff.png. What is scored is the file
    model.keras, loaded again, not the model in memory. Ends with the table and with where
    everything lies.

    Args:
        run: trained.
        val: the validation split.
        is_complete: all epochs are done, so that the checkpoints are not needed any more.
        export: exports the run, with its calibration; None = nobody asks for it.

    Raises:
        InputError: the model file or an image cannot be read.
    """
    skipped = SkippedImages(run.bad_images_path)
    skipped.keep_in(run.bad_images_path)
    price = run.config.recall_price
    model = run.load_model()
    answered = answer_labelled(run, val, skipped, True, recall_price=price, model=model)
    scores = answered.scores()
    scores.save(run.directory / METRICS_FILE)
    title = f"{run.network}, {_source(run)}"
    save_curves(run.directory / "history.csv", scores, title, run.directory / "curves.png")
    save_tradeoff(answered, scores, title, run.directory / TRADEOFF_FILE)
    if export:
        export(run, model)
    print_scores(scores, title, run.config.untrained, (len(skipped), str(run.bad_images_path)))
    if is_complete:
        remove_checkpoints(run.directory)
    names = sorted(path.name + "/" * path.is_dir() for path in run.directory.iterdir())
    console.print(f"Run: {run.directory}/  {', '.join(names)}", soft_wrap=True)
    return scores


def _source(run: Run) -> str:
    if run.config.is_wardrobe:
        return "wardrobe (drawings)"
    data = run.config.data_name
    return data if data.startswith(PREFIX) else Path(data).name
