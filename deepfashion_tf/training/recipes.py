"""Recipes: what to train, with its reasons. Each is a function that gives a TrainConfig."""

from deepfashion_tf.training.config import TrainConfig


def demo() -> TrainConfig:
    """Trains on the built-in wardrobe, from random weights, on two CPU cores.

        python scripts/train.py --backbone seresnet50

    Sized for minutes: 64 px crops cost a twelfth of 224 px ones and still show
    what the wardrobe draws. From random weights the 2048-d average learns faster
    than 1000 outputs that no ImageNet training has given a meaning, and a cosine
    schedule ends the run instead of breaking it off.
    """
    return TrainConfig(
        recipe="demo",
        representation="pooled",
        image_size=64,
        epochs=6,
        schedule="cosine",
        precision="auto",
    )


def photographs() -> TrainConfig:
    """Trains on your photographs on two CPU cores.

        python scripts/train.py --backbone seresnet50 --data-dir DIR

    As `demo`, from ImageNet weights unless told ``--weights none``, with more epochs
    and with jitter: from random weights, a network learns a few hundred photographs
    by heart within twenty epochs, and the jitter keeps it from that.
    """
    return TrainConfig(
        recipe="photographs",
        representation="pooled",
        image_size=64,
        jitter=1.0,
        epochs=50,
        schedule="cosine",
        precision="auto",
    )


def strong() -> TrainConfig:
    """Trains for the score and not for the history, on photographs, without ImageNet.

        python scripts/train.py --recipe strong --backbone seresnet50 --data-dir DIR

    A start from drawings, jitter, random erasing of more and more images, since what was seen often
    is known by heart, heads that look, cross-entropy (focal loss of gamma = 0), batches of 16,
    which make twice as many steps of the same images, a learning rate that falls as a cosine, and
    answers that are the mean over four views: an image, its middle, and both mirrored.
    The README says what is known of their worth, and `reproduce.py --study strong` tells more.
    """
    return TrainConfig(
        recipe="strong",
        weights="wardrobe",
        representation="pooled",
        heads="attention",
        image_size=64,
        jitter=0.5,
        erase=0.5,
        grow_epochs=30,
        tta="crops",
        loss="cross_entropy",
        batch_size=16,
        epochs=30,
        schedule="cosine",
        precision="auto",
    )


def report() -> TrainConfig:
    """Trains as the report did: X. Li 2021, DeepFashion Attribute Prediction Challenge Report.

        python scripts/train.py --recipe report --backbone seresnet50 --data-dir DIR

    Crop, squash to 224 px, flip; focal loss with gamma = 2 and the weights of
    eq. 7; Adam at 1e-3, constant; batches of 32; 30 epochs; the best epoch by
    validation mean accuracy. From ImageNet weights, of which the whole network is
    trained from the first epoch on, at one learning rate, with batch norm that
    follows the photographs: no freezing. The report has 0.8265 mean accuracy on the
    test split. Its own weights are ``--weights timm:legacy_seresnet50.in1k``. Two
    CPU cores need a fifth of a second an image and epoch: use a GPU.
    """
    return TrainConfig(
        recipe="report", freeze_epochs=0, backbone_lr_scale=1.0, freeze_batch_norm=False
    )


RECIPES = {"demo": demo, "photographs": photographs, "report": report, "strong": strong}
