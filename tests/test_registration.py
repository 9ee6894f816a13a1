"""Keras loads a saved model after `import deepfashion_tf` alone, in whatever order."""

import ast
import json
import subprocess
import sys
from pathlib import Path

import keras
import numpy as np
import pytest
from conftest import make_narrow, randomize

from deepfashion_tf.models.attribute_model import build_model
from deepfashion_tf.models.ensemble import MemberImages, average_models
from deepfashion_tf.registration import MODULES
from deepfashion_tf.schema import builtin_schema
from deepfashion_tf.training.losses import FocalLoss
from deepfashion_tf.training.optimizers import FusedAdam

SCHEMA = builtin_schema()
ROOT = Path(__file__).parents[1]
KINDS = {
    "resnet50": {"heads": "attention"},
    "seresnet50": {"heads": "multiscale"},
    "seresnext50": {"fc_layers": 2},
    "efficientnetlite0": {"heads": "multiscale"},
    "keras:MobileNetV3Small": {"heads": "pooled"},
}
LOAD = """
import json, keras, numpy as np
answers = {}
for path in sys.argv[1:]:
    model = keras.models.load_model(path)
    images = np.random.default_rng(0).normal(size=(2, *model.input_shape[1:])).astype("float32")
    answers[path] = {name: v.tolist() for name, v in model.predict(images, verbose=0).items()}
print(json.dumps(answers))
"""


@pytest.fixture(scope="module")
def models(tmp_path_factory) -> dict[str, keras.Model]:
    """File -> a model of each family, an ensemble, and one that is compiled."""
    folder = tmp_path_factory.mktemp("models")
    with pytest.MonkeyPatch.context() as patch:
        for name in ("resnet50", "seresnet50", "seresnext50"):
            make_narrow(patch, name)
        found = {
            kind: randomize(build_model(SCHEMA, kind, image_size=32, **options))
            for kind, options in KINDS.items()
        }
    pair = [
        (found["seresnet50"], None),
        (found["resnet50"], MemberImages(32, [1.0] * 3, [0.0] * 3)),
    ]
    found["ensemble"] = average_models(pair)
    found["seresnext50"].compile(FusedAdam(), {category: FocalLoss() for category in SCHEMA})
    files = {str(folder / f"{i}.keras"): model for i, model in enumerate(found.values())}
    for path, model in files.items():
        model.save(path)
    return files


@pytest.mark.slow
@pytest.mark.parametrize(
    "imports",
    [
        "import deepfashion_tf",
        "import keras, deepfashion_tf",
        "import deepfashion_tf, deepfashion_tf.models.residual",
    ],
)
def test_a_saved_model_is_loaded_whatever_is_imported_first(models, imports):
    if imports != "import deepfashion_tf":
        # The order is the same for all; that all kinds load is seen once.
        models = dict(list(models.items())[1:2])
    program = f"import sys\n{imports}\n{LOAD}"
    done = subprocess.run(
        [sys.executable, "-c", program, *models], capture_output=True, text=True, cwd=ROOT
    )
    assert done.returncode == 0, done.stderr[-2000:]
    answers = json.loads(done.stdout.splitlines()[-1])
    for path, model in models.items():
        shape = (2, *model.input_shape[1:])
        images = np.random.default_rng(0).normal(size=shape).astype("float32")
        for category, expected in model.predict(images, verbose=0).items():
            np.testing.assert_allclose(answers[path][category], expected, atol=1e-5)


def test_the_list_names_every_class_that_is_registered():
    registered = {}
    for path in (ROOT / "deepfashion_tf").rglob("*.py"):
        module = ".".join(path.relative_to(ROOT / "deepfashion_tf").with_suffix("").parts)
        for node in ast.walk(ast.parse(path.read_text())):
            if any("register_keras" in ast.unparse(d) for d in getattr(node, "decorator_list", ())):
                registered[node.name] = module
    assert registered == MODULES


def test_importing_the_package_is_quick_and_leaves_other_imports_alone():
    program = """
import sys, time
begin = time.perf_counter()
import deepfashion_tf
took = time.perf_counter() - begin
assert not {"tensorflow", "keras", "numpy"} & set(sys.modules), "loaded"
import importlib.util
assert importlib.util.find_spec("keras").origin.endswith("__init__.py")
finders = len(sys.meta_path)
importlib.reload(deepfashion_tf)
assert len(sys.meta_path) == finders
assert took < 0.3, took
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, cwd=ROOT)
    assert done.returncode == 0, done.stderr[-2000:]
