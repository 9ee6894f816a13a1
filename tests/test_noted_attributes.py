"""A model file holds the attributes that it was trained in, and its schema has to have them."""

import shutil
import zipfile

import keras
import pytest

from deepfashion_tf.errors import InputError
from deepfashion_tf.inference.predictor import Predictor
from deepfashion_tf.runs.noted_attributes import check_attributes, note_attributes
from deepfashion_tf.runs.run import Run

NOTED = {"season": ("summer", "winter"), "fit": ("tight", "loose")}


@pytest.fixture
def model(tmp_path):
    path = tmp_path / "model.keras"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(zipfile.ZipInfo("config.json"), "{}")
    return path


def check(model, schema) -> None:
    check_attributes(model, model.with_name("schema.yaml"), schema)


def test_the_order_of_attributes_counts_and_that_of_categories_does_not(model):
    note_attributes(model, NOTED)
    check(model, NOTED)
    check(model, dict(reversed(NOTED.items())))
    for other in (("loose", "tight"), ("tight", "wide")):
        with pytest.raises(InputError, match=r"schema\.yaml lists the attributes of fit") as error:
            check(model, {**NOTED, "fit": other})
        assert "model.keras beside it was trained with tight, loose" in str(error.value)


def test_the_same_attributes_are_noted_in_the_same_bytes(model, tmp_path):
    other = shutil.copy(model, tmp_path / "other.keras")
    note_attributes(model, NOTED)
    note_attributes(other, NOTED)
    assert model.read_bytes() == other.read_bytes()


def test_what_holds_no_note_is_not_compared(model, tmp_path):
    check(model, NOTED)
    for text in ("[", "[]", "7", '{"fit": 3}', "[" * 10**5):
        with zipfile.ZipFile(model, "w") as archive:
            archive.writestr("deepfashion_attributes.json", text)
        check(model, NOTED)
    model.write_bytes(b"no model")
    check(model, NOTED)
    model.unlink()
    check(model, NOTED)


def test_a_run_whose_schema_was_reordered_is_refused(trained, tmp_path):
    copy = shutil.copytree(trained.run.directory, tmp_path / "copy")
    text = (copy / "schema.yaml").read_text()
    changed = text.replace("[tight, loose", "[loose, tight")
    assert changed != text
    (copy / "schema.yaml").write_text(changed)
    for load in (Run.load, Predictor.load):
        with pytest.raises(InputError, match=r"of fit as loose, tight, .* wrong names"):
            load(copy)
    with pytest.raises(InputError, match=r"of fit as loose, tight, .* wrong names"):
        Predictor.load(copy / "model.keras")
    (copy / "schema.yaml").write_text(text)
    Run.load(copy).load_model()
    # Keras alone reads it as before.
    keras.models.load_model(copy / "model.keras", compile=False)
