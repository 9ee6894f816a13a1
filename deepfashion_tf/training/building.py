"""Builds what is trained: the model with its first weights, the optimizer, losses and metrics."""

from dataclasses import replace
from functools import partial
from pathlib import Path

import keras

from deepfashion_tf.errors import InputError
from deepfashion_tf.files import is_folder
from deepfashion_tf.models.attribute_model import backbone_of, build_model, freeze, shared_features
from deepfashion_tf.models.folding import fold_model
from deepfashion_tf.models.variants import default_variant
from deepfashion_tf.models.weights import Weights, find_weights, load_weights
from deepfashion_tf.progress import console
from deepfashion_tf.runs.config import CONFIG_FILE, TrainConfig
from deepfashion_tf.runs.run import MODEL_FILE, Run
from deepfashion_tf.schema import Schema
from deepfashion_tf.training import head_start
from deepfashion_tf.training.losses import FocalLoss
from deepfashion_tf.training.metrics import category_metrics
from deepfashion_tf.training.optimizers import FusedAdam
from deepfashion_tf.training.precision import choose_precision
from deepfashion_tf.training.trainer import Trainer

_MANY = 500  # categories: each takes some 50 ms to build


def build_initial_model(
    schema: Schema, config: TrainConfig, with_weights: bool = True
) -> tuple[TrainConfig, keras.Model]:
    """Builds the model and loads the weights that the config names; the rest is drawn by seed.

    Args:
        schema: the categories.
        config: of the run.
        with_weights: False = all is left random, since a checkpoint will fill it.

    Returns:
        The config, now with the weights' source, variant and hash and with the precision that
        this machine is fastest in if it was to be chosen, and the model.

    Raises:
        InputError: the weights cannot be found, read or fitted, or have another hash; or the
            backbone does not go with the other options.
    """
    source = config.weights
    if source is None:
        source = "none" if config.is_wardrobe else "imagenet"
    weights, is_drawn = None, source == head_start.SOURCE
    if source != "none" and with_weights:
        path = None
        if is_drawn:
            path = head_start.verified_model(head_start.head_start_config(config))
        elif is_folder(source) and (Path(source) / MODEL_FILE).is_file():
            path = Path(source) / MODEL_FILE
        weights = find_weights(
            str(path or source),
            config.backbone,
            variant=config.variant,
            offline=config.offline,
            top=config.heads == "logits",
        )
        sha256 = weights.file.sha256
        # What drawings have taught may have been trained again since.
        if config.weights_sha256 not in (None, sha256) and not is_drawn:
            raise InputError(
                f"{weights.file.path} has the SHA-256 {sha256}, but --weights names "
                f"{config.weights_sha256}: this is another file than the one that was meant."
            )
        config = replace(config, variant=weights.variant, weights_sha256=sha256)
    precision, why = choose_precision(config.precision)
    if why:
        console.print(f"precision: {precision}, {why}", style="dim", soft_wrap=True)
    variant = config.variant or default_variant(config.backbone)
    config = replace(config, weights=source, variant=variant, precision=precision)
    keras.utils.set_random_seed(config.seed)
    model = _build(schema, config)
    if weights:
        _load_weights(weights, model, schema, config, is_drawn or _is_run(weights.file.path))
    return config, model


def _load_weights(
    weights: Weights, model: keras.Model, schema: Schema, config: TrainConfig, has_heads: bool
) -> None:
    """Loads weights into a model, with the heads of the run that they are of, and says so."""
    load_weights(weights, backbone_of(model))
    heads = ""
    if has_heads:
        trained = Run.load(weights.file.path.parent)
        copied = head_start.copy_heads(trained, model, schema, config.untrained)
        heads = f", with its heads for {', '.join(copied)}" if copied else ", without its heads"
    console.print(
        f"weights: {weights.file.path} for {config.variant}{heads}", style="dim", soft_wrap=True
    )


def _is_run(path: Path) -> bool:
    """Whether a weights file is the model of a run directory."""
    return path.name == MODEL_FILE and (path.parent / CONFIG_FILE).is_file()


def _build(schema: Schema, config: TrainConfig) -> keras.Model:
    """Builds the model of a config.

    Raises:
        InputError: the backbone has no such stage.
    """
    if len(schema) > _MANY:
        console.print(f"building a model of {len(schema)} categories: minutes", style="dim")
    build = partial(
        build_model,
        schema,
        config.backbone,
        image_size=config.image_size,
        fc_layers=config.fc_layers,
        heads=config.heads,
        dropout=config.dropout,
        variant=config.variant,
        untrained=config.untrained,
        precision=config.precision,
    )
    try:
        model = build()
        freeze(model, config.freeze_stages, config.freeze_batch_norm)
        return model
    except ValueError as error:
        raise InputError(f"--backbone {config.backbone}: {error}.") from error


def build_optimizer(
    model: keras.Model, config: TrainConfig, steps: int
) -> keras.optimizers.Optimizer:
    """Builds Adam for all weights of a model that are trained.

    Args:
        model: of `build_model`.
        config: learning rate, schedule, precision, and the factor of the backbone's learning rate.
        steps: steps of one epoch.

    Returns:
        A `FusedAdam`, in float16 inside an optimizer that scales the loss: gradients that
        a half takes for 0 would be lost. It leaves out the steps that overflow.
    """
    adam = FusedAdam(
        _learning_rate(config, steps),
        weight_decay=config.weight_decay or None,
    )
    if config.weight_decay:
        others = [v for v in model.trainable_variables if "kernel" not in v.name]
        adam.exclude_from_weight_decay(others)
    scaled = config.precision == "mixed_float16"
    optimizer = keras.optimizers.LossScaleOptimizer(adam) if scaled else adam
    # Built outside the traced step, its variables are not initialized inside it.
    optimizer.build(model.trainable_variables)
    adam.scale_rate(backbone_of(model).trainable_variables, config.backbone_lr_scale)
    return optimizer


def _learning_rate(
    config: TrainConfig, steps: int
) -> float | keras.optimizers.schedules.LearningRateSchedule:
    warmup = round(config.warmup_epochs * steps)
    epochs = config.epochs - config.first_epochs
    if config.schedule == "constant" and not warmup:
        return config.learning_rate
    return keras.optimizers.schedules.CosineDecay(
        0.0 if warmup else config.learning_rate,
        decay_steps=max(1, epochs * steps - warmup),
        alpha=0.0 if config.schedule == "cosine" else 1.0,
        warmup_target=config.learning_rate if warmup else None,
        warmup_steps=warmup,
    )


def compile_model(
    schema: Schema,
    model: keras.Model,
    config: TrainConfig,
    optimizer: keras.optimizers.Optimizer,
    from_features: bool = False,
) -> keras.Model:
    """Compiles a model for training: one loss, one weight and the metrics a category.

    Args:
        schema: the categories to train.
        model: has outputs named by category. It stays uncompiled, so that saving
            it leaves the optimizer's state out.
        config: losses and their weights.
        optimizer: of `build_optimizer`.
        from_features: its inputs are features, and the backbone has no part in it.

    Returns:
        A compiled model that shares all layers with `model`.
    """
    losses = {category: FocalLoss(config.gamma) for category in schema}
    trained = model if from_features else fold_model(model)
    inputs = shared_features(model) if from_features else trained.inputs
    outputs = {category: trained.output[category] for category in schema}
    trainer = Trainer(inputs, outputs)
    schema.check("the model's outputs", dict.fromkeys(trainer.output_names))
    trainer.compile(
        optimizer=optimizer,
        loss=losses,
        loss_weights={category: config.loss_weights[category] for category in schema},
        metrics=category_metrics(losses, schema),
        jit_compile=False,
    )
    return trainer
