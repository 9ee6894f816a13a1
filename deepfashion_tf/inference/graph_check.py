"""Refuses SavedModels that do more than compute, before TensorFlow loads them.

A SavedModel is a program: whoever loads it lets it read and write files. A list of what is allowed
is safer than one of what is forbidden. TensorFlow has some 1,900 operations, more with each
version, and among those without declared effects are ReadFile, DebugIdentity and DecodeProtoV2,
which all open files. The list holds arithmetic and what decodes an image in memory. It is no
protection from a file that attacks TensorFlow's own code: load exports of your own alone.
"""

from collections.abc import Iterable, Iterator
from pathlib import Path

from deepfashion_tf.errors import InputError, list_some
from deepfashion_tf.usage import command

# What our exports consist of: the decoder, the networks of `models`, and those of
# keras.applications. Of these operations, only the handling of variables has a state. Those of data
# sets pass over what is in memory.
_OPERATIONS = """
Abs Add AddN AddV2 All Any ArgMax ArgMin Assert AssignVariableOp AvgPool BatchMatMulV2
BatchMatMulV3 BatchToSpaceND BiasAdd Bitcast BitwiseAnd BitwiseOr BitwiseXor BroadcastTo Case Cast
Ceil ClipByValue Concat ConcatV2 Const Conv2D Conv2DBackpropInput CropAndResize Cumsum
DecodeAndCropJpeg DecodeBmp DecodeGif DecodeImage DecodeJpeg DecodePaddedRaw DecodePng DecodeRaw
DecodeWebP DepthToSpace DepthwiseConv2dNative DivNoNan Einsum Elu EnsureShape Equal Erf Erfc Exp
ExpandDims Expm1 ExtractJpegShape Fill Floor FloorDiv FloorMod FusedBatchNormV3 Gather GatherNd
GatherV2 Greater GreaterEqual Identity IdentityN If IsFinite IsNan LRN LeakyRelu LeftShift Less
LessEqual Log Log1p LogSoftmax LogicalAnd LogicalNot LogicalOr MatMul Max MaxPool MaxPoolV2
Maximum Mean Merge Min Minimum MirrorPad Mul MulNoNan Neg NoOp NotEqual OneHot OnesLike Pack Pad
PadV2 PartitionedCall Placeholder PlaceholderWithDefault Pow PreventGradient Prod Range Rank
ReadVariableOp RealDiv Reciprocal Relu Relu6 Reshape ResizeBicubic ResizeBilinear
ResizeNearestNeighbor Reverse ReverseV2 RightShift Round Rsqrt ScaleAndTranslate Select SelectV2
Selu Shape ShapeN Sigmoid Sign Size Slice Softmax Softplus Softsign SpaceToBatchND SpaceToDepth
Split SplitV Sqrt Square SquaredDifference Squeeze StatefulPartitionedCall StatelessCase
StatelessIf StatelessWhile StaticRegexFullMatch StopGradient StridedSlice StringJoin StringLength
StringSplitV2 Sub Substr Sum Switch Tan Tanh TensorListConcatV2 TensorListElementShape
TensorListFromTensor TensorListGetItem TensorListLength TensorListReserve TensorListSetItem
TensorListStack Tile TopKV2 Transpose TruncateDiv TruncateMod Unpack VarHandleOp
VarIsInitializedOp Where While Xdivy Xlogy ZerosLike
BatchDatasetV2 ConcatenateDataset DatasetToSingleElement IgnoreErrorsDataset ParallelMapDatasetV2
RangeDataset TensorDataset TensorSliceDataset ZipDataset
"""
ALLOWED = frozenset(_OPERATIONS.split())
# What reads and writes variables' values, in functions that TensorFlow's loader does not call.
_SAVING = frozenset(
    ("DisableCopyOnRead", "MergeV2Checkpoints", "RestoreV2", "SaveV2", "ShardedFilename")
)


def check_saved_model(folder: Path) -> None:
    """Refuses a SavedModel that could touch files, processes, Python or the network.

    Raises:
        InputError: names the operations that are not allowed, or it is no SavedModel.
    """
    from google.protobuf.message import DecodeError
    from tensorflow.core.protobuf import saved_model_pb2

    document = saved_model_pb2.SavedModel()
    try:
        document.ParseFromString((folder / "saved_model.pb").read_bytes())
    except (OSError, DecodeError) as error:
        raise InputError(
            f"{folder} is no SavedModel that TensorFlow can read ({error}): export the run again."
        ) from error
    # Of others the loader runs the graph as it stands.
    if len(document.meta_graphs) != 1 or not document.meta_graphs[0].HasField("object_graph_def"):
        raise InputError(
            f"{folder} is a SavedModel of TensorFlow 1, or of several graphs, which "
            f"{command('export')} does not make: export the run again."
        )
    if wrong := _forbidden(document.meta_graphs[0]):
        raise InputError(
            f"{folder} contains operations that no export of a run has "
            f"({list_some(wrong)}), and is not loaded: load only exports that you made yourself."
        )


def _forbidden(meta_graph) -> list[str]:
    from tensorflow.python.framework import op_def_registry

    library, objects = meta_graph.graph_def.library, meta_graph.object_graph_def
    functions = {function.signature.name: function for function in library.function}
    called = set(_reached(functions, _roots(library, objects)))
    found = {node.op for node in meta_graph.graph_def.node} - ALLOWED - _SAVING
    for name, function in functions.items():
        allowed = ALLOWED if name in called else ALLOWED | _SAVING
        found |= {node.op for node in function.node_def} - allowed
    # A function that bears an operation's name would hide what is called.
    own = {name for name in functions if op_def_registry.get(name) is None}
    return sorted(found - own)


def _roots(library, objects) -> Iterator[str]:
    """Names the functions that Python can call, and the gradients of functions."""
    yield from objects.concrete_functions
    for node in objects.nodes:
        yield node.bare_concrete_function.concrete_function_name
        yield from node.function.concrete_functions
    for gradient in library.gradient:
        yield gradient.gradient_func
    for gradient in library.registered_gradients:
        yield gradient.gradient_func


def _reached(functions: dict, roots: Iterable[str]) -> Iterator[str]:
    """Names the functions that others call, from the first ones on."""
    waiting, seen = list(roots), set()
    while waiting:
        name = waiting.pop()
        if name in seen or name not in functions:
            continue
        seen.add(name)
        yield name
        for node in functions[name].node_def:
            waiting.append(node.op)
            for value in node.attr.values():
                waiting += [value.func.name, *(each.name for each in value.list.func)]
