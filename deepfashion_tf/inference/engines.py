"""What runs an exported network: TensorFlow, OpenVINO, ONNX Runtime or LiteRT."""

import os
import threading
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from importlib import metadata
from importlib.util import find_spec
from pathlib import Path

import numpy as np

from deepfashion_tf.errors import InputError
from deepfashion_tf.inference.batch import Probabilities
from deepfashion_tf.inference.engine_names import EngineName
from deepfashion_tf.inference.graph_check import check_saved_model
from deepfashion_tf.processor import bfloat16_units
from deepfashion_tf.usage import command

Answer = Callable[[np.ndarray], Probabilities]


@dataclass(frozen=True)
class Running:
    """An engine at work.

    Attributes:
        name: of the engine.
        version: of it.
        precision: that it computes in.
    """

    name: EngineName
    version: str
    precision: str

    def __str__(self) -> str:
        words = f"{self.name} {self.version}, {self.precision}"
        if self.precision == "bfloat16":
            # Up to 0.018 was measured.
            words += " (a probability may differ by 0.02; --engine tensorflow computes in float32)"
        return words


@dataclass(frozen=True)
class Engine:
    """An engine that is installed on its own, and the export that it reads.

    Attributes:
        name: of it, as ``--engine`` calls it.
        package: what is imported.
        format: as ``deepfashion export --formats`` calls it.
        file: of the network, in its export's folder.
        extra: of this package, which installs it; None = it is always installed.
        open: network file -> what answers, and how.
        is_exact: its answers are the model's but for rounding, so that it may be chosen unasked.
        wants_units: it is fast where the processor has units for bfloat16 alone.
        export_package: what exporting imports beside it; None = nothing that is not there anyway.
        export_extra: the extra that installs that one; None = the same.
    """

    name: EngineName
    package: str
    format: str
    file: str
    extra: str | None
    open: Callable[[Path], tuple[Answer, Running]]
    is_exact: bool = True
    wants_units: bool = False
    export_package: str | None = None
    export_extra: str | None = None

    @property
    def folder(self) -> str:
        """The export's, in a run directory."""
        return f"export-{self.format}"

    @property
    def is_installed(self) -> bool:
        return find_spec(self.package) is not None

    @property
    def is_for_here(self) -> bool:
        """Whether it may be chosen unasked on this processor."""
        return self.is_exact and (bfloat16_units() is not None or not self.wants_units)

    @property
    def is_exportable(self) -> bool:
        return self.is_installed and find_spec(self.export_package or self.package) is not None

    @property
    def install(self) -> str:
        """The command that installs it."""
        return _install(self.extra)

    @property
    def export_install(self) -> str:
        """The command that installs what exporting takes."""
        return _install(self.export_extra or self.extra)


def _install(extra: str | None) -> str:
    return f"pip install 'deepfashion_tf[{extra}]'" if extra else "pip install deepfashion_tf"


# What they compute in is part of the file, or of what they are for.
INEXACT = ("tensorflow-bfloat16", "openvino-int8", "litert-int8")


def open_engine(name: EngineName, path: Path, exact: bool = False) -> tuple[Answer, Running]:
    """Opens a network file by its engine.

    Args:
        name: of an engine in `ENGINES`.
        path: the file.
        exact: computes in float32 where the engine could compute in less.

    Returns:
        A function from ready crops, uint8 ``[n, size, size, 3]``, to calibrated probabilities,
        float32 ``[n, classes]`` by category, which several threads may call; and what runs it.

    Raises:
        InputError: the engine is not installed, cannot read the file, or is never exact.
    """
    engine = ENGINES[name]
    if exact and name in INEXACT:
        raise InputError(
            f"{path} is made for less than float32, which --exact asks for: leave out --exact, or "
            f"name another --engine."
        )
    if not engine.is_installed:
        raise InputError(f"{path} is answered by {name}, which is not installed: {engine.install}.")
    try:
        if exact and name == "openvino":
            return _open_openvino(path, exact=True)
        return engine.open(path)
    except InputError:
        raise
    # What a broken file raises is the engine's own.
    except Exception as error:
        reason = " ".join(str(error).split())[:200]
        raise InputError(
            f"{path} cannot be loaded by {name} ({reason}): export the run again, by "
            f"{command('export')} RUN --formats {engine.format}."
        ) from error


def _threads() -> int:
    """Cores that this process may use, as TensorFlow is told: a catalogue's worker has a share."""
    return int(os.environ.get("TF_NUM_INTRAOP_THREADS", 0)) or os.cpu_count() or 1


def answer_of_saved_model(loaded) -> Answer:
    """Makes a function of the signature ``images`` of what ``tf.saved_model.load`` gave."""
    import tensorflow as tf

    def answer(crops: np.ndarray) -> Probabilities:
        # What a signature reads belongs to what was loaded, which has to stay.
        found = loaded.signatures["images"](images=tf.constant(crops))
        return {name: value.numpy() for name, value in found.items()}

    return answer


def _open_saved_model(path: Path) -> tuple[Answer, Running]:
    import tensorflow as tf

    check_saved_model(path.parent)
    answer = answer_of_saved_model(tf.saved_model.load(str(path.parent)))
    return answer, Running("tensorflow-bfloat16", tf.__version__, "bfloat16")


def _open_openvino(
    path: Path, precision: str | None = None, exact: bool = False
) -> tuple[Answer, Running]:
    import openvino

    hints = {"PERFORMANCE_HINT": "LATENCY", "INFERENCE_NUM_THREADS": _threads()}
    if exact:
        hints["INFERENCE_PRECISION_HINT"] = "f32"
    compiled = openvino.Core().compile_model(path, "CPU", hints)
    names = [output.get_any_name() for output in compiled.outputs]
    own = threading.local()

    def answer(crops: np.ndarray) -> Probabilities:
        if not hasattr(own, "request"):
            own.request = compiled.create_infer_request()
        # The crops are read where they are; what is answered is a copy.
        found = own.request.infer([crops], share_inputs=True)
        return {name: found[number] for number, name in enumerate(names)}

    # Of 8-bit networks this is the precision of the few layers that are not.
    kind = compiled.get_property("INFERENCE_PRECISION_HINT").get_type_name()
    version = openvino.__version__.partition("-")[0]
    name = "openvino" if precision is None else "openvino-int8"
    return answer, Running(name, version, precision or _PRECISIONS.get(kind, kind))


def _open_onnx(path: Path) -> tuple[Answer, Running]:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = _threads()
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    names = [output.name for output in session.get_outputs()]
    (given,) = (found.name for found in session.get_inputs())

    def answer(crops: np.ndarray) -> Probabilities:
        return dict(zip(names, session.run(names, {given: crops}), strict=True))

    return answer, Running("onnxruntime", onnxruntime.__version__, "float32")


def _open_litert(path: Path, precision: str = "float32") -> tuple[Answer, Running]:
    from ai_edge_litert.interpreter import Interpreter

    own = threading.local()

    def answer(crops: np.ndarray) -> Probabilities:
        # An interpreter is one thread's alone.
        if not hasattr(own, "run"):
            network = Interpreter(str(path), num_threads=_threads())
            own.run = network.get_signature_runner(SIGNATURE)
        # It would take any size, and answer for that.
        if crops.shape[1:] != expected:
            raise ValueError(f"its network takes crops of {expected}, not of {crops.shape[1:]}")
        return own.run(images=crops)

    # A broken file is told here.
    about = Interpreter(str(path)).get_signature_runner(SIGNATURE).get_input_details()
    expected = tuple(map(int, about["images"]["shape"][1:]))
    answer(np.zeros((1, *expected), np.uint8))
    name = "litert" if precision == "float32" else "litert-int8"
    return answer, Running(name, metadata.version("ai_edge_litert"), precision)


SIGNATURE = "images"  # of a LiteRT file
_PRECISIONS = {"f32": "float32", "bf16": "bfloat16", "f16": "float16"}

# The fastest first.
_ALL = (
    Engine(
        "openvino",
        "openvino",
        "openvino",
        "model.xml",
        "openvino",
        _open_openvino,
    ),
    Engine(
        "tensorflow-bfloat16",
        "tensorflow",
        "saved_model-bfloat16",
        "saved_model.pb",
        None,
        _open_saved_model,
        wants_units=True,
    ),
    Engine(
        "onnxruntime",
        "onnxruntime",
        "onnx",
        "model.onnx",
        "onnx",
        _open_onnx,
        export_package="tf2onnx",
    ),
    Engine(
        "litert",
        "ai_edge_litert",
        "litert",
        "model.tflite",
        "litert",
        _open_litert,
    ),
    Engine(
        "openvino-int8",
        "openvino",
        "openvino-int8",
        "model-int8.xml",
        "openvino",
        partial(_open_openvino, precision="int8"),
        is_exact=False,
        export_package="nncf",
        export_extra="openvino-int8",
    ),
    Engine(
        "litert-int8",
        "ai_edge_litert",
        "litert-int8",
        "model-int8.tflite",
        "litert",
        partial(_open_litert, precision="int8"),
        is_exact=False,
    ),
)
ENGINES: dict[str, Engine] = {engine.name: engine for engine in _ALL}
