"""Lets `keras.models.load_model` find the classes that a saved model names.

Keras finds a class of a saved model if the module that registers it was imported. Importing those
modules loads TensorFlow, so that `import deepfashion_tf` registers a stand-in for each instead, as
soon as somebody imports Keras. A stand-in imports its class when a saved model asks for it.
"""

import importlib
import sys
from importlib.abc import MetaPathFinder
from types import ModuleType

PACKAGE = "deepfashion_tf"
# A test holds this list to the classes that the modules register.
MODULES = {
    "AttentionPooling": "models.attention",
    "ChannelConv2D": "models.depthwise_convolution",
    "Conv2D": "models.convolution",
    "DepthwiseConv2D": "models.depthwise_convolution",
    "FocalLoss": "training.losses",
    "FusedAdam": "training.optimizers",
    "FusedBatchNormalization": "models.batch_norm",
    "GroupedConv2D": "models.grouped_convolution",
    "MapAverage": "models.average",
    "MemberImages": "models.ensemble",
    "Residual": "models.residual",
    "Squeeze": "models.residual",
    "Standardization": "models.standardization",
}


class _StandIn:
    """Makes an object of a class of this package from its config."""

    def __init__(self, name: str) -> None:
        self._name = name

    def from_config(self, config: dict):
        # Registers the class in place of this.
        module = importlib.import_module(f"{PACKAGE}.{MODULES[self._name]}")
        return getattr(module, self._name).from_config(config)


class _AfterKeras(MetaPathFinder):
    """Registers the stand-ins when Keras has been imported."""

    def find_spec(self, name, path=None, target=None):
        if name != "keras":
            return None
        others = (finder for finder in sys.meta_path if finder is not self)
        found = (finder.find_spec(name, path, target) for finder in others)
        spec = next(filter(None, found), None)
        if spec is None or spec.loader is None:
            return spec
        execute = spec.loader.exec_module

        def execute_and_register(module: ModuleType) -> None:
            execute(module)
            _register(module)

        spec.loader.exec_module = execute_and_register
        return spec


def _register(keras: ModuleType) -> None:
    known = keras.saving.get_custom_objects()
    for name in MODULES:
        known.setdefault(f"{PACKAGE}>{name}", _StandIn(name))


def register() -> None:
    """Registers the stand-ins now, or as soon as Keras is imported."""
    if keras := sys.modules.get("keras"):
        _register(keras)
    elif not any(type(finder).__name__ == _AfterKeras.__name__ for finder in sys.meta_path):
        sys.meta_path.insert(0, _AfterKeras())
