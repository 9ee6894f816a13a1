"""Names of the engines, for command lines: importing them costs nothing."""

from typing import Literal

EngineName = Literal[
    "tensorflow",
    "tensorflow-bfloat16",
    "openvino",
    "openvino-int8",
    "onnxruntime",
    "litert",
    "litert-int8",
]
EngineChoice = Literal["auto", EngineName]  # of a command line
