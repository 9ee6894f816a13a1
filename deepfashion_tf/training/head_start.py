"""A head start without ImageNet: a network that drawings have taught, trained once and kept."""

import hashlib
from collections.abc import Collection
from dataclasses import asdict, replace
from pathlib import Path

import keras

from deepfashion_tf.data.wardrobe import WARDROBE_VERSION
from deepfashion_tf.documents import as_json
from deepfashion_tf.errors import InputError
from deepfashion_tf.files import write_atomically
from deepfashion_tf.models.attention import attention_of
from deepfashion_tf.models.variants import default_variant, layer_name
from deepfashion_tf.models.weights.sources import keras_cache
from deepfashion_tf.runs.config import TrainConfig
from deepfashion_tf.runs.recipes import demo
from deepfashion_tf.runs.run import MODEL_FILE, Run
from deepfashion_tf.schema import Schema
from deepfashion_tf.usage import command

SOURCE = "wardrobe"  # as --weights
DRAWINGS = 10_000
EPOCHS = 4
SIZE = 64  # pixels, at most: the weights serve at any size
_HASH_FILE = "model.sha256"
_VERSION = 1  # of what the same options teach


def head_start_config(config: TrainConfig) -> TrainConfig:
    """Returns what is trained on drawings before a run is: the same network, small.

    Args:
        config: of the run.
    """
    wanted = replace(
        demo(),
        backbone=config.backbone,
        variant=config.variant or default_variant(config.backbone),
        # Heads of another kind begin anew; logits alone need the layers that make them.
        heads="logits" if config.heads == "logits" else "attention",
        weights="none",
        image_size=min(SIZE, config.image_size),
        # The network is to meet garments as large in their crops as the run's will be. Whole
        # images have no margin to get used to.
        box_padding=config.box_padding if config.crop else 0.0,
        jitter=0.5,
        epochs=EPOCHS,
        wardrobe_images=(DRAWINGS, 400, 1),
    )
    return replace(wanted, output_dir=_directory(wanted))


def is_ready(wanted: TrainConfig) -> bool:
    """Whether it was trained already, to the end."""
    return (wanted.output_dir / _HASH_FILE).is_file()


def keep(wanted: TrainConfig) -> None:
    """Writes down that it is trained to the end, with the hash of what came out."""
    digest = _digest_of(wanted.output_dir / MODEL_FILE)
    write_atomically(wanted.output_dir / _HASH_FILE, digest + "\n")


def verified_model(wanted: TrainConfig) -> Path:
    """Returns the file of the network that was trained.

    Raises:
        InputError: it is not the one that was kept, or there is none.
    """
    path = wanted.output_dir / MODEL_FILE
    if not is_ready(wanted):
        raise InputError(
            f"{path} was not trained to its end: {command('train')} --weights {SOURCE} "
            f"does it first."
        )
    expected = (wanted.output_dir / _HASH_FILE).read_text(encoding="utf-8").strip()
    if not path.is_file() or _digest_of(path) != expected:
        raise InputError(
            f"{path} is not the file that was trained on drawings (its SHA-256 is another): delete "
            f"{path.parent}, and it is trained again."
        )
    return path


def copy_heads(
    source: Run, target: keras.Model, schema: Schema, untrained: Collection[str] = ()
) -> list[str]:
    """Copies the heads of a run into a model, in the categories whose attributes are the same.

    Args:
        source: trained.
        target: whose heads read the same features.
        schema: of the target.
        untrained: categories that stay as they are: nothing will teach them.

    Returns:
        The categories whose heads were copied.
    """
    known = source.load_model()
    left_out = {*untrained, *source.config.untrained}
    shared = [c for c in schema if source.schema.get(c) == schema[c] and c not in left_out]
    copied = []
    for category in shared:
        ours, theirs = (model.get_layer(category) for model in (target, known))
        if ours.kernel.shape == theirs.kernel.shape:
            ours.set_weights(theirs.get_weights())
            copied.append(category)
    ours, theirs = attention_of(target), attention_of(known)
    if ours and theirs:
        for mine, other in zip(ours.queries, theirs.queries, strict=True):
            values, known_values = mine.numpy(), other.numpy()
            for category in shared:
                place = theirs.categories.index(category)
                values[:, ours.categories.index(category)] = known_values[:, place]
            mine.assign(values)
    return copied


def _directory(wanted: TrainConfig) -> Path:
    """Names the folder, which hangs on all that decides what comes out."""
    usual = asdict(TrainConfig())
    values = {name: value for name, value in asdict(wanted).items() if value != usual[name]}
    text = as_json({**values, "drawings": WARDROBE_VERSION, "version": _VERSION}, sort_keys=True)
    digest = hashlib.sha256(text.encode()).hexdigest()[:12]
    return keras_cache() / f"deepfashion_tf-wardrobe-{layer_name(wanted.backbone)}-{digest}"


def _digest_of(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
