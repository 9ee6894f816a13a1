"""Recipes: what to train, with its reasons. Each is a function of the backbone."""

from deepfashion_tf.models.variants import KERAS, image_size_of, known_backbone
from deepfashion_tf.runs.config import TrainConfig

_RESNETS = ("resnet50", "seresnet50", "seresnext50")
# Sized for two idle CPU cores and 5,000 images: a quarter of an hour (lite0), an hour (others).
_FINETUNE_EPOCHS = {"efficientnetlite0": 16, "efficientnetlite1": 16, "efficientnetlite2": 20}


def demo(backbone: str = "seresnet50") -> TrainConfig:
    """Trains on the built-in wardrobe, from random weights, on two CPU cores.

        python scripts/train.py --backbone seresnet50

    Sized for minutes: 64 px crops cost a twelfth of 224 px ones and still show
    what the wardrobe draws. From random weights the 2048-d average learns faster
    than 1000 outputs that no ImageNet training has given a meaning, and a cosine
    schedule ends the run instead of breaking it off.
    """
    return TrainConfig(
        recipe="demo",
        backbone=backbone,
        heads="pooled",
        image_size=64,
        epochs=6,
        schedule="cosine",
        precision="auto",
    )


def probe(backbone: str = "seresnet50") -> TrainConfig:
    """Trains heads on features of ImageNet weights: minutes on two CPU cores.

        python scripts/train.py --recipe probe --backbone efficientnetlite0 --data DIR

    The backbone is frozen, so that each image and its mirror image pass through it once; the
    features are kept on disk. Weight decay and dropout are chosen on the validation images.
    """
    return TrainConfig(
        recipe="probe",
        backbone=backbone,
        weights="imagenet",
        heads="multiscale",
        image_size=image_size_of(known_backbone(backbone)),
        freeze_stages=-1,
        search_heads=True,
        tta="flip",
        gamma=0.0,
        learning_rate=1e-2,
        epochs=30,
        schedule="cosine",
        # Heads learn from the features that answers have. ResNets would take twice as long.
        precision="auto" if known_backbone(backbone) in _RESNETS else "float32",
    )


def finetune(backbone: str = "seresnet50") -> TrainConfig:
    """Trains the heads, and then the upper stages with them, from ImageNet weights.

        python scripts/train.py --recipe finetune --backbone efficientnetlite0 --data DIR

    Lower stages and the statistics of batch norm stay those of ImageNet. The epochs of
    efficientnetlite0 are sized for a quarter of an hour with 5,000 images on two idle CPU cores.
    """
    return TrainConfig(
        recipe="finetune",
        backbone=backbone,
        weights="imagenet",
        heads="multiscale",
        image_size=image_size_of(known_backbone(backbone)),
        freeze_stages=_lower_stages(backbone),
        freeze_batch_norm=True,
        search_heads=True,
        tta="flip",
        dropout=0.4,
        least_crop=0.5,
        jitter=0.5,
        gamma=0.0,
        learning_rate=2e-3,
        backbone_lr_scale=0.25,
        weight_decay=0.05,
        warmup_epochs=0.5,
        epochs=_FINETUNE_EPOCHS.get(backbone, 12),
        schedule="cosine",
        precision="auto",
    )


def _lower_stages(backbone: str) -> int:
    """Returns `freeze_stages` of a finetuning: the last two stages of any network learn."""
    if backbone.lower().startswith(KERAS):
        return -3
    return 4 if backbone.startswith("efficientnet") else 3


def strong(backbone: str = "seresnet50") -> TrainConfig:
    """Trains for the score and not for the history, on photographs, without ImageNet.

        python scripts/train.py --recipe strong --backbone seresnet50 --data DIR

    Its parts are synthetic pretraining on drawings, jitter, random erasing that grows over the
    epochs, attention heads, cross-entropy (focal loss of gamma = 0), batches of 16 for twice as
    many steps, cosine decay, and test-time augmentation over four crops.
    `deepfashion reproduce --study strong` measures the effect of each part.
    """
    return TrainConfig(
        recipe="strong",
        backbone=backbone,
        weights="wardrobe",
        heads="attention",
        image_size=64,
        jitter=0.5,
        erase=0.5,
        grow_epochs=30,
        tta="crops",
        gamma=0.0,
        batch_size=16,
        epochs=30,
        schedule="cosine",
        precision="auto",
    )


def report(backbone: str = "seresnet50") -> TrainConfig:
    """Trains as the report did: X. Li 2021, DeepFashion Attribute Prediction Challenge Report.

        python scripts/train.py --recipe report --backbone seresnet50 --data DIR

    Crop, squash to 224 px, flip; focal loss with gamma = 2 and the weights of
    eq. 7; Adam at 1e-3, constant; batches of 32; 30 epochs; the best epoch by
    validation mean accuracy. From ImageNet weights, of which the whole network is
    trained from the first epoch on, at one learning rate, with batch norm that
    follows the photographs: no freezing. The report has 0.8265 mean accuracy on the
    test split. Its own weights are ``--weights timm:legacy_seresnet50.in1k``. Two
    CPU cores need a fifth of a second an image and epoch: use a GPU.
    """
    return TrainConfig(
        recipe="report",
        backbone=backbone,
        backbone_lr_scale=1.0,
        freeze_batch_norm=False,
    )


RECIPES = {
    "demo": demo,
    "probe": probe,
    "finetune": finetune,
    "report": report,
    "strong": strong,
}
