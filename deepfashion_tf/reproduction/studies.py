"""Studies of what helps, as data: one recipe, and the same with one thing changed."""

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from typing import Literal

from deepfashion_tf.runs.config import TrainConfig
from deepfashion_tf.runs.recipes import finetune, probe, strong
from deepfashion_tf.schema import builtin_schema

StudyName = Literal["report", "strong", "pretrained", "finetune"]

# All categories alike, as in eqs. 6 and the focal loss before eq. 7.
ALIKE = {"loss_weights": dict.fromkeys(builtin_schema(), 1.0)}


@dataclass(frozen=True)
class Study:
    """One recipe beside the same with one thing changed.

    Of other data than the wardrobe, validation and test images are scored together.

    Attributes:
        title: of its page.
        plain: name of the cell that changes nothing.
        cells: cell -> the options in which it differs from the scale's recipe.
        labels: cell -> how tables and figures call it.
        size: options of the quick scale that differ from those of the report's grid.
        recipe: gives what is changed, of the quick scale, before `size`.
        contrast: cell whose categories' best epochs are shown beside the plain one's.
    """

    title: str
    plain: str
    cells: Mapping[str, dict]
    labels: Mapping[str, str]
    size: Mapping[str, int | tuple[int, int, int]]
    recipe: Callable[[], TrainConfig]
    contrast: str | None = None


# What the recipe `report` has where `strong` has something else, sized alike.
_REPORT = {
    "weights": "none",
    "heads": "pooled",
    "jitter": 0.0,
    "erase": 0.0,
    "grow_epochs": 0,
    "tta": "none",
    "gamma": 2.0,
    "batch_size": 32,
    "schedule": "constant",
}
_STRONG = {
    "strong": ("strong", {}),
    "report": ("the report's recipe", _REPORT),
    "no_start": ("without synthetic pretraining", {"weights": "none"}),
    "no_attention": ("with pooled heads", {"heads": "pooled"}),
    "no_jitter": ("without jitter", {"jitter": 0.0}),
    "no_erase": ("without random erasing", {"erase": 0.0}),
    "at_once": ("with full erasing from the start", {"grow_epochs": 0}),
    "no_views": ("without test-time augmentation", {"tta": "none"}),
    "flip": ("with the mirror image alone in testing", {"tta": "flip"}),
    "constant": ("with a constant learning rate", {"schedule": "constant"}),
    "crops": ("with random crops", {"least_crop": 0.5}),
    "padding": ("with a margin around the box", {"box_padding": 0.1}),
    "decay": ("with weight decay", {"weight_decay": 0.05}),
    "slower": ("with a third of the learning rate", {"learning_rate": 3e-4}),
    "batch-32": ("with batches of 32", {"batch_size": 32}),
    "batch-8": ("with batches of 8", {"batch_size": 8}),
    "96px": ("with crops of 96 px, which take longer", {"image_size": 96}),
    "warmup": ("with warm-up", {"warmup_epochs": 1.0}),
    "focal": ("with focal loss", {"gamma": 2.0}),
    "float32": ("in float32", {"precision": "float32"}),
}
_LITE = "efficientnetlite0"
# Fewer epochs than the recipe has, since each study trains dozens of networks.
_FINETUNE_SIZED = {"wardrobe_images": (300, 400, 1000), "epochs": 10}


def _instead(recipe: TrainConfig) -> dict:
    """Returns the options in which a recipe differs from what the pretrained studies change."""
    usual = asdict(finetune(_LITE))
    return {name: value for name, value in asdict(recipe).items() if value != usual[name]}


_STRONG_SIZED = replace(strong(), epochs=15)
_PRETRAINED = {
    "finetune": ("finetune, EfficientNet-Lite0", {}),
    "float32": ("finetune, EfficientNet-Lite0, float32", {"precision": "float32"}),
    "probe": ("probe, EfficientNet-Lite0", _instead(probe(_LITE))),
    "epochs16": ("finetune, EfficientNet-Lite0, 16 epochs", {"epochs": 16}),
    # As many epochs as Lite0, so that both see the same images as often.
    "finetune-lite2": (
        "finetune, EfficientNet-Lite2",
        _instead(replace(finetune("efficientnetlite2"), epochs=finetune(_LITE).epochs)),
    ),
    "probe-lite2": ("probe, EfficientNet-Lite2", _instead(probe("efficientnetlite2"))),
    "strong": ("strong, SE-ResNet-50, 64 px", _instead(_STRONG_SIZED)),
    "report": ("the report's recipe, 64 px", _instead(replace(_STRONG_SIZED, **_REPORT))),
}
_FINETUNE = {
    "finetune": ("finetune", {}),
    "no_search": ("without heads trained first", {"search_heads": False}),
    "pooled": ("with pooled heads", {"heads": "pooled", "search_heads": False}),
    "attention": ("with attention heads", {"heads": "attention", "search_heads": False}),
    "all_stages": ("with all stages trained", {"freeze_stages": 0}),
    "norm": ("with batch norm that learns", {"freeze_batch_norm": False}),
    "same_rate": ("with one learning rate for all", {"backbone_lr_scale": 1.0}),
    "no_crops": ("without random crops", {"least_crop": 1.0}),
    "no_jitter": ("without jitter", {"jitter": 0.0}),
    "no_flip": ("without mirror images", {"flip": False, "tta": "none"}),
    "single": ("without test-time augmentation", {"tta": "none"}),
    "crops": ("with four views in testing", {"tta": "crops"}),
    "no_decay": ("without weight decay", {"weight_decay": 0.0}),
    "no_warmup": ("without warm-up", {"warmup_epochs": 0.0}),
    "constant": ("with a constant learning rate", {"schedule": "constant"}),
    "focal": ("with focal loss", {"gamma": 2.0}),
    "erase": ("with random erasing", {"erase": 0.5}),
}
STUDIES: dict[str, Study] = {
    "strong": Study(
        "Ablation of the recipe strong",
        "strong",
        {name: options for name, (_, options) in _STRONG.items()},
        {name: label for name, (label, _) in _STRONG.items()},
        # A tenth of the drawings that the first command trains on.
        {"wardrobe_images": (300, 400, 1000), "epochs": 30},
        recipe=strong,
        contrast="report",
    ),
    "pretrained": Study(
        "Recipes with ImageNet weights",
        "finetune",
        {name: options for name, (_, options) in _PRETRAINED.items()},
        {name: label for name, (label, _) in _PRETRAINED.items()},
        _FINETUNE_SIZED,
        recipe=lambda: finetune(_LITE),
    ),
    "finetune": Study(
        "Ablation of the recipe finetune",
        "finetune",
        {name: options for name, (_, options) in _FINETUNE.items()},
        {name: label for name, (label, _) in _FINETUNE.items()},
        _FINETUNE_SIZED,
        recipe=lambda: finetune(_LITE),
    ),
}
