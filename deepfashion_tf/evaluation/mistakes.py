"""The surest mistakes: as pictures and sentences of the page, and as a table for correction."""

import io
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from PIL import Image

from deepfashion_tf.data.reading import crop_batches
from deepfashion_tf.data.split import Split
from deepfashion_tf.escaping import markdown_text
from deepfashion_tf.evaluation.confusion import Mistake
from deepfashion_tf.evaluation.evaluate import Answered
from deepfashion_tf.evaluation.relabel import Doubt, is_corrected, write_doubts
from deepfashion_tf.inference.explanations import Explainer, overlay
from deepfashion_tf.progress import console
from deepfashion_tf.runs.run import Run
from deepfashion_tf.usage import command

SHOWN = 18  # mistakes
_LISTED = 200  # of them, for correction
_SIDE = 160  # of a picture of one, in pixels


def relabel_path(page: Path) -> Path:
    """Names the table of mistakes beside a page: relabel-val.csv beside report-val.html."""
    return page.with_name(page.name.replace("report", "relabel", 1)).with_suffix(".csv")


def save_mistakes(path: Path, images: Split, mistakes: list[Mistake]) -> None:
    """Writes the table for correction, unless it would replace one that somebody corrects."""
    if is_corrected(path):
        console.print(
            f"{path} holds corrections, and is kept: rename it for a new one.",
            style="yellow",
            soft_wrap=True,
        )
        return
    listed = mistakes[:_LISTED]
    doubts = [Doubt(m.row, m.category, m.labelled, m.answered, m.belief) for m in listed]
    write_doubts(path, images, doubts)


def draw_mistakes(run: Run, answered: Answered, mistakes: list[Mistake]) -> list[bytes]:
    """Draws mistakes as JPEGs: the crop that the model read, and what its answer depends on.

    To the right of that stands what the head looked at, where the heads look.
    """
    rows = np.array([mistake.row for mistake in mistakes])
    some = answered.split.take(rows, answered.split.name)
    crops = np.concatenate(list(crop_batches(some, run.config.image_size)))
    explainer = Explainer(run.load_model(), run.normalization)
    given = {c: answers[rows] for c, answers in answered.answers.items()}
    # The network answers in the categories that were not learnt, too.
    asked = {c: given.get(c, np.zeros(len(rows), int)) for c in explainer.categories}
    heats, looks = explainer.explain(crops, asked), explainer.look(crops)
    maps, found = [one for one in (heats, looks) if one], []
    for number, (crop, mistake) in enumerate(zip(crops, mistakes, strict=True)):
        parts = [crop, *(overlay(crop, one[mistake.category][number]) for one in maps)]
        strip = Image.fromarray(np.concatenate(parts, axis=1))
        file = io.BytesIO()
        strip.resize((_SIDE * len(parts), _SIDE)).save(file, "JPEG", quality=88)
        found.append(file.getvalue())
    return found


def describe_mistakes(answered: Answered, mistakes: list[Mistake], relabel: str) -> Iterator[str]:
    """Makes the page's part on mistakes, in Markdown.

    Args:
        answered: the images.
        mistakes: all of them, the surest first.
        relabel: name of the table for correction.
    """
    yield "## The surest mistakes"
    if not mistakes:
        yield "There are none."
        return
    yield (
        f"{min(SHOWN, len(mistakes))} of {len(mistakes)} wrong answers, the most probable first, "
        "each with its probability. Beside the crop stands what speaks for the answer (Grad-CAM: "
        "yellow most, grey nothing); a third picture is the attention of its head. Look for wrong "
        "labels among them before you blame the model."
    )
    yield (
        f"{markdown_text(relabel)} lists the first {min(_LISTED, len(mistakes))}. Correct its last "
        f"column. `{command('check')} DATA --schema RUN/schema.yaml --relabel FILE --fix NEW.csv` "
        "then writes the data with these labels."
    )
    yield "\n".join(
        f"{number}. ![{markdown_text(mistake.category)}]({picture_name(mistake)}) "
        f"**{markdown_text(mistake.category)}**: {markdown_text(mistake.answered)} "
        f"{mistake.probability:.2f}, labelled {markdown_text(mistake.labelled)}. "
        f"{markdown_text(_image_name(answered, mistake.row))}"
        for number, mistake in enumerate(mistakes[:SHOWN], start=1)
    )


def picture_name(mistake: Mistake) -> str:
    """Names a mistake's picture in the page's Markdown."""
    return f"mistake-{mistake.row}-{mistake.category}.jpg"


def _image_name(answered: Answered, row: int) -> str:
    """Names an image by its file and, where a table lists it, its row there."""
    name, place = Path(str(answered.split.keys[row])).name, answered.split.place(row)
    return name if not place or name.endswith(place) else f"{name}, {place}"
