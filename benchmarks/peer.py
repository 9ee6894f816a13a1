"""PyTorch and engines on timm's networks: a program of its own, for any Python that has them.

Reads a job as one line of JSON and answers "ready" once it has worked for the first time; then,
for each line "go", it works once more and answers on how many images, and for a line "memory"
what its memory has been at the most, in MiB.
"""

import json
import os
import resource
import sys
from collections.abc import Callable

MODELS = {
    "resnet50": "resnet50",
    "seresnet50": "seresnet50",
    "seresnext50": "seresnext50_32x4d",
    **{f"efficientnetlite{number}": f"tf_efficientnet_lite{number}" for number in range(3)},
}


def serve(jobs: dict[str, Callable[[dict], Callable[[], int]]]) -> None:
    """Works as its standard input asks.

    Args:
        jobs: what a job's ``what`` names -> function from the job to what does it once, and says
            on how many images.
    """
    job = json.loads(sys.stdin.readline())
    # What libraries print must not be taken for an answer.
    answers, sys.stdout = sys.stdout, sys.stderr
    work = jobs[job["what"]](job)
    work()
    print("ready", file=answers, flush=True)
    for line in sys.stdin:
        print(work() if line.strip() == "go" else peak_memory(), file=answers, flush=True)


def peak_memory() -> int:
    """Returns the most memory that this process has had, in MiB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024


def read_input(job: dict) -> Callable[[], int]:
    """torchvision with a DataLoader of two workers: Pillow, or version 2 on tensors of bytes."""
    from torch.utils.data import DataLoader, Dataset

    crop = _tensor_crop(job["image_size"]) if job["tensors"] else _pillow_crop(job["image_size"])

    class Crops(Dataset):
        def __len__(self) -> int:
            return len(job["images"])

        def __getitem__(self, index: int):
            return crop(job["images"][index], job["boxes"][index])

    loader = DataLoader(
        Crops(), job["batch_size"], shuffle=True, num_workers=2, persistent_workers=True
    )
    return lambda: sum(len(batch) for _ in range(job["passes"]) for batch in loader)


_NORMALIZE = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


def _pillow_crop(size: int) -> Callable:
    from PIL import Image
    from torchvision import transforms

    change = transforms.Compose(
        [
            transforms.Resize((size, size)),
            transforms.RandomHorizontalFlip(),
            transforms.ToTensor(),
            transforms.Normalize(*_NORMALIZE),
        ]
    )
    return lambda path, box: change(Image.open(path).convert("RGB").crop(tuple(box)))


def _tensor_crop(size: int) -> Callable:
    import torch
    from torchvision.io import ImageReadMode, decode_jpeg, read_file
    from torchvision.transforms import v2

    change = v2.Compose(
        [
            v2.Resize((size, size), antialias=True),
            v2.RandomHorizontalFlip(),
            v2.ToDtype(torch.float32, scale=True),
            v2.Normalize(*_NORMALIZE),
        ]
    )

    def crop(path: str, box: list[int]):
        x1, y1, x2, y2 = box
        image = decode_jpeg(read_file(path), ImageReadMode.RGB)
        return change(image[:, y1:y2, x1:x2])

    return crop


def train(job: dict) -> Callable[[], int]:
    """PyTorch's usual training: channels last, Adam, autocast where bfloat16 is asked for.

    Where the job says ``compiled``, torch.compile does its work during the first step.
    """
    import timm
    import torch

    class Attributes(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.backbone = timm.create_model(MODELS[job["backbone"]], num_classes=0)
            self.heads = torch.nn.ModuleList(
                torch.nn.Linear(self.backbone.num_features, classes) for classes in job["classes"]
            )

        def forward(self, images):
            features = self.backbone(images)
            return [head(features) for head in self.heads]

    torch.manual_seed(0)
    model = Attributes().to(memory_format=torch.channels_last).train()
    if job["freeze_batch_norm"]:
        for layer in model.modules():
            if isinstance(layer, torch.nn.BatchNorm2d):
                layer.eval()
    optimizer = torch.optim.Adam(model.parameters(), 1e-3)
    answer = torch.compile(model) if job["compiled"] else model
    count, size = job["batch_size"], job["image_size"]
    images = torch.randn(count, 3, size, size).to(memory_format=torch.channels_last)
    labels = [torch.randint(classes, (count,)) for classes in job["classes"]]
    precision = torch.bfloat16 if job["precision"] == "bfloat16" else torch.float32
    steps = iter([1])  # the first step is a work of its own

    def work() -> int:
        number = next(steps, job["steps"])
        for _ in range(number):
            optimizer.zero_grad()
            with torch.autocast("cpu", precision, enabled=precision is torch.bfloat16):
                outputs = answer(images)
                pairs = zip(outputs, labels, strict=True)
                loss = sum(torch.nn.functional.cross_entropy(o, y) for o, y in pairs)
            loss.backward()
            optimizer.step()
        return number * count

    return work


def train_keras(job: dict) -> Callable[[], int]:
    """keras.applications' ResNet50 with six heads, by Keras on another backend than TensorFlow."""
    os.environ["KERAS_BACKEND"] = job["backend"]
    import keras
    import numpy as np

    keras.utils.set_random_seed(0)
    count, size = job["batch_size"], job["image_size"]
    shape = (size, size, 3)
    base = keras.applications.ResNet50(False, None, input_shape=shape, pooling="avg")
    heads = [keras.layers.Dense(classes, "softmax")(base.output) for classes in job["classes"]]
    model = keras.Model(base.input, heads)
    model.compile(
        keras.optimizers.Adam(1e-3), ["sparse_categorical_crossentropy"] * len(job["classes"])
    )
    rng = np.random.default_rng(0)
    images = rng.normal(size=(count, *shape)).astype(np.float32)
    labels = [rng.integers(0, classes, count) for classes in job["classes"]]
    steps = iter([1])

    def work() -> int:
        number = next(steps, job["steps"])
        for _ in range(number):
            model.train_on_batch(images, labels)
        return number * count

    return work


def infer(job: dict) -> Callable[[], int]:
    """timm's network by an engine, from normalized images."""
    import timm
    import torch

    network = timm.create_model(MODELS[job["backbone"]]).eval()
    images = torch.randn(job["batch_size"], 3, job["image_size"], job["image_size"])
    engines = {"pytorch": _by_pytorch, "compiled": _compiled}
    engines |= {"openvino": _by_openvino, "onnxruntime": _by_onnx}
    answer = engines[job["engine"]](network, images, job["precision"])

    def work() -> int:
        for _ in range(job["times"]):
            answer()
        return job["times"] * job["batch_size"]

    return work


def _compiled(network, images, precision: str) -> Callable[[], object]:
    import torch

    # Beforehand: its graph is of the network as it is.
    network = torch.compile(network.to(memory_format=torch.channels_last))
    return _by_pytorch(network, images, precision)


def _by_pytorch(network, images, precision: str) -> Callable[[], object]:
    import torch

    network = network.to(memory_format=torch.channels_last)
    images = images.to(memory_format=torch.channels_last)

    def answer() -> object:
        enabled = precision == "bfloat16"
        with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16, enabled=enabled):
            return network(images)

    return answer


def _by_openvino(network, images, precision: str) -> Callable[[], object]:
    import openvino

    converted = openvino.convert_model(network, example_input=images[:1])
    compiled = openvino.Core().compile_model(converted, "CPU", {"PERFORMANCE_HINT": "LATENCY"})
    request, crops = compiled.create_infer_request(), images.numpy()
    return lambda: request.infer([crops], share_inputs=True)


def _by_onnx(network, images, precision: str) -> Callable[[], object]:
    import tempfile
    from pathlib import Path

    import onnxruntime
    import torch

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "network.onnx"
        torch.onnx.export(
            network,
            (images[:1],),
            path,
            input_names=["images"],
            dynamic_axes={"images": {0: "batch"}},
            dynamo=False,
        )
        session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    crops = images.numpy()
    return lambda: session.run(None, {"images": crops})


if __name__ == "__main__":
    serve({"input": read_input, "training": train, "keras": train_keras, "inference": infer})
