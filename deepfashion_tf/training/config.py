"""The one list of options: what a run is made of, saved with it, rebuilt from it."""

import dataclasses
import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from deepfashion_tf.categories import CATEGORIES
from deepfashion_tf.errors import InputError
from deepfashion_tf.files import write_atomically
from deepfashion_tf.models.variants import variants_of

REPORT_LOSS_WEIGHTS = {
    "texture": 0.95,
    "sleeve": 0.85,
    "length": 0.85,
    "neckline": 0.9,
    "fabric": 1.0,
    "fit": 0.9,
}


@dataclass(frozen=True)
class TrainConfig:
    """Everything that decides what a training run computes.

    Raises:
        InputError: a value out of its range, or loss weights whose keys are not
            exactly the categories.
    """

    recipe: Literal["demo", "photographs", "report"] = "demo"
    """Where the other options' defaults come from. Without --data-dir: demo; with it: photographs,
    sized for a CPU. report is the report's own recipe, for a GPU."""
    data_dir: Path | None = None
    """Data set in the challenge or the original layout. None: the built-in wardrobe."""
    output_dir: Path | None = None
    """Run directory to make. None: saved_models/BACKBONE-RECIPE, numbered if it exists."""

    backbone: Literal["resnet50", "seresnet50", "seresnext50"] = "seresnet50"
    """Network under the six heads."""
    weights: str | None = None
    """Weights to start from: imagenet, timm:MODEL (such as timm:seresnet50.ra2_in1k), a file
    (.safetensors, .h5, .weights.h5, .keras), or none: random. None: imagenet with --data-dir,
    none without."""
    variant: str | None = None
    """Which network of the backbone's family (see the README). None: what the weights name."""
    weights_sha256: str | None = None
    """SHA-256 that the weights file must have. None: any; config.json records which it was."""
    offline: bool = False
    """Download nothing; so does the environment variable HF_HUB_OFFLINE=1."""
    representation: Literal["logits", "pooled"] = "logits"
    """What the heads read: the 1000-d ImageNet output (the report) or the 2048-d average."""
    fc_layers: Literal[0, 2, 4] = 0
    """Fully connected ReLU layers between backbone and heads (512, 256, 128, 64)."""
    dropout: float = 0.1
    """Share dropped before each head, 0 <= dropout < 1."""

    image_size: int = 224
    """Side in pixels to which crops are squashed, at least 32."""
    crop: bool = True
    """Crop to the bounding box; otherwise the whole image is used."""
    flip: bool = True
    """Mirror training images at random."""
    jitter: float = 0.0
    """How much training images are zoomed, turned, moved and recoloured at random, 0 to 1."""
    cache: bool = True
    """Keep decoded crops in memory: size * size * 3 bytes an image."""

    loss: Literal["focal", "cross_entropy"] = "focal"
    """Focal loss (Lin et al. 2017) or cross-entropy (the report's eq. 6)."""
    gamma: float = 2.0
    """Focusing parameter of the focal loss, >= 0."""
    alpha: float = 1.0
    """Weight of the loss, the same for all attributes."""
    class_alpha: dict[str, float] = field(default_factory=dict)
    """Weights of single attributes on top of alpha, such as: leather 4 faux 6."""
    loss_weights: dict[str, float] = field(default_factory=lambda: dict(REPORT_LOSS_WEIGHTS))
    """Weight of each category in the total loss (the report's eq. 7)."""

    batch_size: int = 32
    """Images in one step."""
    epochs: int = 30
    """Passes over the training images."""
    learning_rate: float = 1e-3
    """Adam's step size, at its highest."""
    schedule: Literal["constant", "cosine"] = "constant"
    """Learning rate over the steps: as it is, or falling to 0 as half a cosine."""
    freeze_epochs: int = 0
    """Epochs at the beginning in which only what stands on the backbone is trained."""
    backbone_lr_scale: float = 1.0
    """Factor of the learning rate for the backbone: below 1 its weights change less."""
    freeze_batch_norm: bool = False
    """Keep the means and variances of the weights' batch norm; gamma and beta are trained."""
    seed: int = 0
    """Seeds weights, order, flips and dropout: the same seed repeats a run exactly on a CPU."""

    wardrobe_train: int = 3000
    """Training images drawn when there is no --data-dir."""
    wardrobe_val: int = 400
    """Validation images drawn when there is no --data-dir."""
    wardrobe_test: int = 400
    """Test images drawn when there is no --data-dir."""

    def __post_init__(self) -> None:
        for name, low, high in (
            ("dropout", 0.0, 0.999),
            ("image_size", 32, 4096),
            ("jitter", 0.0, 1.0),
            ("gamma", 0.0, 100.0),
            ("alpha", 1e-6, 1e6),
            ("batch_size", 1, 65536),
            ("epochs", 1, 100_000),
            ("learning_rate", 1e-12, 1e3),
            ("freeze_epochs", 0, self.epochs),
            ("backbone_lr_scale", 0.0, 1e3),
            ("seed", 0, 2**31 - 1),
            ("wardrobe_train", 1, 10_000_000),
            ("wardrobe_val", 1, 10_000_000),
            ("wardrobe_test", 0, 10_000_000),
        ):
            value = getattr(self, name)
            if not low <= value <= high:
                option = "--" + name.replace("_", "-")
                raise InputError(f"{option} is {value}, but must lie between {low} and {high}.")
        if self.variant and self.variant not in variants_of(self.backbone):
            raise InputError(
                f"--variant {self.variant} is none of --backbone {self.backbone}: "
                f"{', '.join(variants_of(self.backbone))}."
            )
        missing = [category for category in CATEGORIES if category not in self.loss_weights]
        unknown = [key for key in self.loss_weights if key not in CATEGORIES]
        if missing or unknown:
            raise InputError(
                f"--loss-weights needs a weight for each of {', '.join(CATEGORIES)}; missing: "
                f"{', '.join(missing) or 'none'}; unknown: {', '.join(unknown) or 'none'}."
            )
        attributes = [name for names in CATEGORIES.values() for name in names]
        unknown = [name for name in self.class_alpha if name not in attributes]
        if unknown:
            raise InputError(
                f"--class-alpha names {', '.join(unknown)}, but the attributes are: "
                f"{', '.join(attributes)}."
            )
        for option, weights in (
            ("--loss-weights", self.loss_weights),
            ("--class-alpha", self.class_alpha),
        ):
            wrong = [f"{name} {value}" for name, value in weights.items() if not value >= 0]
            if wrong:
                raise InputError(f"{option} holds {', '.join(wrong)}: give weights >= 0.")

    def alpha_of(self, category: str) -> float | tuple[float, ...]:
        """Gives a category's weight in the loss: one number, or one a class if they differ."""
        names = CATEGORIES[category]
        if not any(name in self.class_alpha for name in names):
            return self.alpha
        return tuple(self.alpha * self.class_alpha.get(name, 1.0) for name in names)

    def save(self, path: Path) -> None:
        """Writes the config as JSON."""
        values = {
            name: str(value) if isinstance(value, Path) else value
            for name, value in dataclasses.asdict(self).items()
        }
        write_atomically(path, json.dumps(values, indent=2) + "\n")

    @classmethod
    def load(cls, path: Path) -> "TrainConfig":
        """Rebuilds the config that `save` wrote.

        Raises:
            InputError: the file is missing, broken or of another version.
        """
        try:
            values = json.loads(path.read_text(encoding="utf-8"))
            for name in ("data_dir", "output_dir"):
                values[name] = Path(values[name]) if values[name] is not None else None
            return cls(**values)
        except FileNotFoundError as error:
            raise InputError(
                f"{path} is missing, so {path.parent} is no run directory: name one that "
                f"scripts/train.py has made, such as saved_models/seresnet50-demo."
            ) from error
        except (ValueError, TypeError, KeyError, OSError) as error:
            raise InputError(
                f"{path} cannot be read as a run's configuration ({error}): train the run again."
            ) from error
