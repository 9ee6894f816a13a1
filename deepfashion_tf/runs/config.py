"""The one list of options: what a run is made of, saved with it, rebuilt from it."""

import dataclasses
import math
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Literal, get_type_hints

import tyro

from deepfashion_tf.data.drawings import WARDROBE, is_wardrobe
from deepfashion_tf.data.table_options import RowOptions
from deepfashion_tf.documents import as_json, kind_fault, read_document
from deepfashion_tf.errors import InputError, list_some
from deepfashion_tf.files import expand_user, write_atomically
from deepfashion_tf.models.variants import APPLICATIONS, known_backbone, variants_of
from deepfashion_tf.runs.older import of_today
from deepfashion_tf.schema import Schema
from deepfashion_tf.usage import command

CONFIG_FILE = "config.json"
# What a training finds out, and no option says -> its value before.
FOUND_OUT: dict[str, object] = {"first_epochs": 0, "untrained": (), "weights_sha256": None}
_CACHES = ("memory", "none")
_SHA256 = re.compile(r"(.*)#sha256=([0-9a-fA-F]{64})")
Views = Literal["none", "flip", "crops"]
# Option -> the least and the largest value.
_RANGES = {
    "dropout": (0.0, 0.999),
    "image_size": (32, 4096),
    "box_padding": (0.0, 1.0),
    "jitter": (0.0, 1.0),
    "least_crop": (0.01, 1.0),
    "erase": (0.0, 1.0),
    "grow_epochs": (0, 10_000),
    "weight_decay": (0.0, 100.0),
    "gamma": (0.0, 100.0),
    "recall_price": (0.0, 100.0),
    "batch_size": (1, 65536),
    "epochs": (1, 100_000),
    "learning_rate": (1e-12, 1e3),
    "freeze_stages": (-99, 99),
    "backbone_lr_scale": (0.0, 1e3),
    "seed": (0, 2**31 - 1),
}
_LEAST_DRAWINGS, _MOST_DRAWINGS = (1, 1, 0), 10_000_000
_PATHS = ("schema", "output_dir", "teacher")


@dataclass(frozen=True)
class TrainConfig(RowOptions):
    """Everything that decides what a training run computes.

    Raises:
        InputError: a value out of its range. What needs the schema is checked by
            `for_schema`.
    """

    recipe: Literal["demo", "probe", "finetune", "report", "strong"] = "demo"
    """Recipe, the source of all other defaults. Without one: demo without data, finetune with
    data, or probe where a CPU is too slow. The recipe report follows the report. The recipe
    strong uses synthetic pretraining instead of ImageNet weights."""
    data: Annotated[str | None, tyro.conf.arg(aliases=("--data-dir",))] = None
    """Images to train on: a folder, a table, tfds:NAME, clothing-dataset-small or wardrobe. A
    folder has the challenge or the original layout. wardrobe:DIR draws in a folder of your
    choice, or uses the drawings there. None: wardrobe."""
    schema: Path | None = None
    """YAML file with the categories and their attributes. None: the categories of a tfds: data
    set, otherwise the built-in six."""
    output_dir: Path | None = None
    """Run directory to create. None: saved_models/BACKBONE-RECIPE, numbered if it exists."""

    backbone: str = "seresnet50"
    """Network under the heads: resnet50, seresnet50, seresnext50, efficientnetlite0 to 2, or
    keras:NAME from keras.applications."""
    weights: str | None = None
    """Initial weights: imagenet, timm:MODEL, a file, wardrobe (synthetic pretraining on
    drawings) or none (random). Files: .safetensors, .pth, .h5, .weights.h5 or .keras. With
    #sha256=HASH at the end, another file is refused. None: imagenet with data, none without."""
    variant: str | None = None
    """Member of the backbone's family, such as timm.seresnet50 (docs/weights.md). None: the
    variant that the weights name."""
    offline: bool = False
    """Download nothing. The environment variable HF_HUB_OFFLINE=1 has the same effect."""
    fc_layers: Literal[0, 2, 4] = 0
    """Fully connected ReLU layers between backbone and heads (512, 256, 128, 64)."""
    heads: Literal["logits", "pooled", "multiscale", "attention"] = "logits"
    """Input of the heads: logits is the 1000-d ImageNet output (the report), pooled the average
    of the last feature map. The choice multiscale adds standardized averages of earlier stages.
    The choice attention adds weighted averages of two stages, one weighting per category; it
    needs --fc-layers 0."""
    dropout: float = 0.1
    """Dropout rate before each head, 0 <= dropout < 1."""

    image_size: int = 224
    """Side in pixels of the square network input, at least 32."""
    crop: bool = True
    """Crop to the bounding box. Off: the whole image is used."""
    box_padding: float = 0.0
    """Margin around each box, as a share of its sides, 0 to 1. The margin ends at the edge of
    the image. It applies to training and to all predictions."""
    flip: bool = True
    """Mirror training images at random."""
    jitter: float = 0.0
    """Strength of random zoom, rotation, shift and color changes of training images, 0 to 1."""
    least_crop: float = 1.0
    """Smallest area share of a random resized crop of a training image. 1: off."""
    erase: float = 0.0
    """Share of training images with random erasing (Zhong et al. 2020)."""
    grow_epochs: int = 0
    """Epochs over which the share of random erasing grows linearly from 0. 0: full strength
    from the first epoch."""
    cache: Annotated[str, tyro.conf.arg(aliases=("--cache-dir",))] = "memory"
    """Place for decoded crops, size * size * 3 bytes per image: memory, a folder, where later
    runs reuse them, or none, which decodes in every epoch."""
    on_bad_image: Literal["error", "skip"] = "error"
    """Unreadable images: error ends the run; skip leaves them out and lists them in
    bad_images.txt."""

    gamma: float = 2.0
    """Focusing parameter of the focal loss (Lin et al. 2017), >= 0; 0 is cross-entropy (the
    report's eq. 6)."""
    teacher: Path | None = None
    """Run or ensemble whose predictions are distilled into the model (Hinton et al. 2015). Its
    image size may differ."""
    recall_price: float = 0.0
    """Points of mean accuracy on validation images that mean class recall may cost, 0 to 100.
    After training, probabilities shift towards rare attributes within this price. 0: no
    shift."""
    tta: Views = "none"
    """Test-time augmentation of every prediction and export: none, flip (mean with the mirror
    image) or crops (also the center of both). The choice flip takes twice as long, crops four
    times."""
    loss_weights: dict[str, float] = field(default_factory=dict)
    """Weights of categories in the total loss (the report's eq. 7), such as: fabric 1 fit 0.9.
    --loss-weights.fabric 1 is the same. Other categories: the schema's weights."""

    batch_size: int = 32
    """Images per step, over all devices."""
    epochs: int = 30
    """Passes over the training images."""
    learning_rate: float = 1e-3
    """Peak learning rate of Adam."""
    schedule: Literal["constant", "cosine"] = "constant"
    """Learning rate schedule: constant, or cosine decay to 0."""
    warmup_epochs: float = 0.0
    """Epochs of linear learning rate warm-up; fractions are valid."""
    weight_decay: float = 0.0
    """Decoupled weight decay of kernels (AdamW, Loshchilov and Hutter 2019). Batch norm and
    biases have none."""
    freeze_stages: int = 0
    """Number of lower backbone stages to freeze. 0: none. -1: all, with features computed once.
    -3: all but the last two."""
    search_heads: bool = False
    """Train the heads on frozen features first, with several values of weight decay and
    dropout. Training starts from the best heads on the validation images."""
    backbone_lr_scale: float = 1.0
    """Factor of the learning rate for the backbone."""
    freeze_batch_norm: bool = False
    """Keep the moving mean and variance of the pretrained batch norm; gamma and beta are
    trained."""
    precision: Literal["auto", "float32", "mixed_bfloat16", "mixed_float16"] = "float32"
    """Computation dtype in training; weights, heads, losses and predictions stay float32. auto:
    mixed_bfloat16 where processor or GPUs support it in hardware, otherwise float32. On a CPU,
    mixed_float16 is many times slower."""
    seed: int = 0
    """Seed of weights, order, augmentation and dropout. On a CPU the same seed repeats a run
    exactly."""

    wardrobe_images: tuple[int, int, int] = (3000, 400, 400)
    """Training, validation and test images to draw when there is no data."""

    first_epochs: Annotated[int, tyro.conf.Suppress] = 0
    """Epochs after which the run had ended, and went on."""
    untrained: Annotated[tuple[str, ...], tyro.conf.Suppress] = ()
    """Categories that no training image was labelled in; found out by the training."""
    weights_sha256: Annotated[str | None, tyro.conf.Suppress] = None
    """SHA-256 of the weights file, found out by the training unless --weights names it."""

    def __post_init__(self) -> None:
        # The command line knows the kinds of values; a config.json may hold anything.
        for name, hint in get_type_hints(type(self)).items():
            if fault := kind_fault(_option(name), getattr(self, name), hint):
                raise InputError(f"{fault}.")
        try:
            object.__setattr__(self, "backbone", known_backbone(self.backbone))
        except ValueError as error:
            raise InputError(f"--backbone is {self.backbone!r}, but {error}.") from error
        for name in _PATHS:
            path = getattr(self, name)
            if path is not None:
                object.__setattr__(self, name, expand_user(path, _option(name)))
        object.__setattr__(self, "wardrobe_images", tuple(self.wardrobe_images))
        if self.weights and (named := _SHA256.fullmatch(self.weights)):
            object.__setattr__(self, "weights", named[1])
            object.__setattr__(self, "weights_sha256", named[2].lower())
        for name, (low, high) in {**_RANGES, "warmup_epochs": (0.0, float(self.epochs))}.items():
            value = getattr(self, name)
            if not low <= value <= high:
                raise InputError(
                    f"{_option(name)} is {value}, but must lie between {low} and {high}."
                )
        self._check_combinations()

    def _check_combinations(self) -> None:
        if self.heads == "attention" and self.fc_layers:
            raise InputError(
                f"--heads attention goes with --fc-layers 0, not {self.fc_layers}: leave one out."
            )
        application = APPLICATIONS.get(self.backbone)
        if application and self.image_size < application.least_size:
            raise InputError(
                f"--image-size is {self.image_size}, but --backbone {self.backbone} takes images "
                f"of at least {application.least_size} pixels."
            )
        if self.search_heads and (self.heads != "multiscale" or self.fc_layers):
            raise InputError(
                "--search-heads goes with --heads multiscale and --fc-layers 0: say "
                "--no-search-heads, or these."
            )
        if not self.cache:
            raise InputError("--cache is empty: name memory, none or a folder.")
        if self.data == "":
            raise InputError("--data is empty: name a folder, a table, tfds:NAME or wardrobe.")
        if self.weights == "none" and self.weights_sha256:
            raise InputError("--weights names a SHA-256, but none reads no file.")
        sizes = self.wardrobe_images
        if len(sizes) != 3 or any(
            not least <= size <= _MOST_DRAWINGS
            for least, size in zip(_LEAST_DRAWINGS, sizes, strict=False)
        ):
            raise InputError(
                f"--wardrobe-images is {' '.join(map(str, sizes))}, but must be three numbers: "
                f"training and validation images, at least 1 each, and test images, up to "
                f"{_MOST_DRAWINGS}."
            )
        if self.variant and self.variant not in variants_of(self.backbone):
            raise InputError(
                f"--variant {self.variant} is none of --backbone {self.backbone}: "
                f"{', '.join(variants_of(self.backbone))}."
            )
        wrong = [f"{name} {w}" for name, w in self.loss_weights.items() if not 0 <= w < math.inf]
        if wrong:
            raise InputError(f"--loss-weights holds {', '.join(wrong)}: give numbers >= 0.")

    @property
    def data_name(self) -> str:
        """What `open_splits` is asked for."""
        return self.data or WARDROBE

    @property
    def is_wardrobe(self) -> bool:
        """Whether the images are drawings."""
        return is_wardrobe(self.data_name)

    @property
    def cache_folder(self) -> Path | None:
        """Where decoded crops and features are kept for later runs; None = nowhere."""
        return None if self.cache in _CACHES else expand_user(Path(self.cache), "--cache")

    def for_schema(self, schema: Schema) -> "TrainConfig":
        """Fills in the schema's loss weights.

        Raises:
            InputError: a weight of a category that the schema does not have.
        """
        unknown = [key for key in self.loss_weights if key not in {*schema, *schema.groups}]
        if unknown:
            raise InputError(
                f"--loss-weights names {', '.join(unknown)}, but the categories are: "
                f"{', '.join(schema.groups)}."
            )
        given = {
            part.name: self.loss_weights[name]
            for name, parts in schema.groups.items()
            for part in parts
            if name in self.loss_weights
        }
        given |= {name: weight for name, weight in self.loss_weights.items() if name in schema}
        return dataclasses.replace(self, loss_weights={**schema.loss_weights, **given})

    def save(self, path: Path, only_new: bool = False) -> None:
        """Writes the config as JSON.

        Raises:
            FileExistsError: the file is there, and `only_new` was asked for.
        """
        values = {
            name: str(value) if isinstance(value, Path) else value
            for name, value in dataclasses.asdict(self).items()
        }
        write_atomically(path, as_json(values, indent=2) + "\n", only_new=only_new)

    @classmethod
    def load(cls, path: Path) -> "TrainConfig":
        """Rebuilds the config that `save` wrote.

        Raises:
            InputError: the file is missing, broken or of another version.
        """
        try:
            return cls.from_values(read_document(path))
        except FileNotFoundError as error:
            raise InputError(
                f"{path} is missing, so {path.parent} is no run directory: name one that "
                f"{command('train')} has made, such as saved_models/seresnet50-demo."
            ) from error
        except (InputError, ValueError, OSError) as error:
            # A file holds keys, not options.
            reason = re.sub(r"--([a-z][a-z0-9-]*)", lambda m: m[1].replace("-", "_"), str(error))
            raise InputError(
                f"{path} cannot be read as a run's configuration ({reason.rstrip('.')}): mend it, "
                f"or train the run again."
            ) from error

    @classmethod
    def from_values(cls, values: dict) -> "TrainConfig":
        """Makes a config of what JSON holds of one.

        Raises:
            InputError: a key that is no option, or a value that an option cannot have.
        """
        values = of_today(values)
        unknown = [name for name in values if name not in get_type_hints(cls)]
        if unknown:
            raise InputError(f"{list_some(unknown)}: no option has this name.")
        paths = {name: Path(values[name]) for name in _PATHS if isinstance(values.get(name), str)}
        if values.get("recipe") == "photographs":  # replaced by finetune
            values = {**values, "recipe": "finetune"}
        untrained = values.get("untrained", ())
        untrained = tuple(untrained) if isinstance(untrained, list) else untrained
        return cls(**{**values, **paths, "untrained": untrained})


def _option(name: str) -> str:
    return "--" + name.replace("_", "-")
