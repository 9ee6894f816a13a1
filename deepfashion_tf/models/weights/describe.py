"""What a weights file is, in words: for `deepfashion weights`."""

from pathlib import Path

from deepfashion_tf.models.backbones import build_backbone
from deepfashion_tf.models.variants import VARIANTS, LiteVariant
from deepfashion_tf.models.weights.files import read_file
from deepfashion_tf.models.weights.identify import find_layout, fitting_variants
from deepfashion_tf.models.weights.network import Weights, fit


def describe(path: Path) -> list[tuple[str, str]]:
    """Describes a weights file: format, network, parameters, and what would not load.

    Returns:
        Pairs of a heading and its text.

    Raises:
        InputError: the file cannot be read, or holds no network that is known here.
    """
    file = read_file(path)
    layout = find_layout(file)
    fitting = fitting_variants(file, layout)
    # Those that fit alike have the same weights.
    weights = Weights(str(path), file, layout, fitting[0])
    variant = VARIANTS[fitting[0]]
    representation = "logits" if weights.has_top else "pooled"
    network = build_backbone(variant.backbone, 64, representation, fitting[0])
    faults = fit(weights, network).faults
    kept = [t for name, t in file.tensors.items() if not name.endswith("num_batches_tracked")]
    return [
        ("file", f"{path}, {path.stat().st_size:,} bytes"),
        ("format", f"{file.kind}, {layout.name}"),
        ("SHA-256", file.sha256),
        *((key, value) for key, value in file.record.items() if key.startswith("source")),
        ("backbone", variant.backbone),
        ("variant", ", ".join(fitting) + (" alike: say --variant" if len(fitting) > 1 else "")),
        *(("network", text) for text in dict.fromkeys(_architecture(name) for name in fitting)),
        ("normalization", variant.normalization),
        ("top", "1000 logits" if weights.has_top else "none: all --heads but logits"),
        ("parameters", f"{sum(tensor.size for tensor in kept):,} in the file"),
        ("", f"{network.count_params():,} in the network, {representation}"),
        ("would not load", faults or "nothing: all of it fits"),
    ]


def _architecture(name: str) -> str:
    variant = VARIANTS[name]
    if isinstance(variant, LiteVariant):
        return (
            f"EfficientNet-Lite, width {variant.width:g} and depth {variant.depth:g} of B0, "
            f"{variant.image_size} px"
        )
    se = f"squeeze and excitation / {variant.reduction}" if variant.reduction else "no squeeze"
    pool = {"padded": "padded by 1", "ceil": "in ceil mode"}[variant.pool]
    return (
        f"stride on the {variant.stride_on}, pool {pool}, {variant.groups} group(s), {se}, "
        f"{'' if variant.bias else 'no '}biases, epsilon {variant.epsilon:g}"
    )
