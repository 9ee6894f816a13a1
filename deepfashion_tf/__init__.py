"""Reads fashion attributes off photographs. Importing it loads no TensorFlow.

import deepfashion_tf as df

model = df.load("saved_models/seresnet50-demo")
model.predict("photo.jpg")["sleeve"].attribute
"""

import importlib
from typing import TYPE_CHECKING

from deepfashion_tf.registration import register

if TYPE_CHECKING:
    from deepfashion_tf.api import Model as Model
    from deepfashion_tf.api import dataset as dataset
    from deepfashion_tf.api import load as load
    from deepfashion_tf.api import train as train
    from deepfashion_tf.errors import InputError as InputError
    from deepfashion_tf.models.attribute_model import build_model as build_model
    from deepfashion_tf.schema import Schema as Schema
    from deepfashion_tf.schema import builtin_schema as builtin_schema
    from deepfashion_tf.training.losses import FocalLoss as FocalLoss

__version__ = "0.1.0"
# Name -> the module that has it, imported when somebody asks for the name.
_MODULES = {
    "FocalLoss": "training.losses",
    "InputError": "errors",
    "Model": "api",
    "Schema": "schema",
    "build_model": "models.attribute_model",
    "builtin_schema": "schema",
    "dataset": "api",
    "load": "api",
    "train": "api",
}
__all__ = ["__version__", *_MODULES]

register()
del register


def __getattr__(name: str) -> object:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    found = getattr(importlib.import_module(f"{__name__}.{_MODULES[name]}"), name)
    globals()[name] = found
    return found


def __dir__() -> list[str]:
    return __all__
