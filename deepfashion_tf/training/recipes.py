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
    )


def photographs() -> TrainConfig:
    """Trains on your photographs, from random weights, on two CPU cores.

        python scripts/train.py --backbone seresnet50 --data-dir DIR

    As `demo`, with more epochs and with jitter: a network learns a few hundred
    photographs by heart within twenty epochs, and the jitter keeps it from that.
    """
    return TrainConfig(
        recipe="photographs",
        representation="pooled",
        image_size=64,
        jitter=1.0,
        epochs=50,
        schedule="cosine",
    )


def report() -> TrainConfig:
    """Trains as the report did: X. Li 2021, DeepFashion Attribute Prediction Challenge Report.

        python scripts/train.py --recipe report --backbone seresnet50 --data-dir DIR

    Crop, squash to 224 px, flip; focal loss with gamma = 2 and the weights of
    eq. 7; Adam at 1e-3, constant; batches of 32; 30 epochs; the best epoch by
    validation mean accuracy. The report has 0.8265 mean accuracy on the test
    split, *from ImageNet weights*, which this recipe does not load yet. Two CPU
    cores need a fifth of a second an image and epoch: use a GPU.
    """
    return TrainConfig(recipe="report")


RECIPES = {"demo": demo, "photographs": photographs, "report": report}
