import pickle
import time

import pytest

from deepfashion_tf.errors import InputError
from deepfashion_tf.models.attribute_model import build_model
from deepfashion_tf.schema import Category, Schema, builtin_schema

SHOP = """\
categories:
  season: [summer, winter]
  collar:
    description: what stands around the neck
    loss_weight: 0.5
    attributes: [no, polo, shirt]
"""


def written(tmp_path, text: str):
    path = tmp_path / "schema.yaml"
    path.write_text(text, encoding="utf-8")
    return path


def test_the_builtin_schema_is_the_challenges():
    schema = builtin_schema()
    assert list(schema) == ["texture", "sleeve", "length", "neckline", "fabric", "fit"]
    assert (len(schema), schema.count()) == (6, 26)
    assert schema["length"] == ("maxi_length", "mini_length", "no_dress")
    assert list(schema.loss_weights.values()) == [0.95, 0.85, 0.85, 0.9, 1.0, 0.9]


def test_reads_what_users_write(tmp_path):
    """ "no" is an attribute, not the value False."""
    schema = Schema.load(written(tmp_path, SHOP))
    assert dict(schema) == {"season": ("summer", "winter"), "collar": ("no", "polo", "shirt")}
    assert schema.loss_weights == {"season": 1.0, "collar": 0.5}
    assert schema.categories[1].description == "what stands around the neck"


def test_what_it_writes_it_reads(tmp_path):
    odd = Category("a", ("no", "1.0", "null", "3/4 sleeve", "ärmellos", "a: b", "#x"), "x: y", 0.25)
    for schema in (builtin_schema(), Schema((odd,))):
        schema.save(tmp_path / "schema.yaml")
        assert Schema.load(tmp_path / "schema.yaml") == schema


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "is empty"),
        ("[]", "line 1: the file holds no names"),
        ("season: [summer, winter]", "line 1: season stands there"),
        ("categories:", "line 1: categories holds no names"),
        ("categories: {}", "has no category"),
        ("categories:\n  a: [x, y]\n  b: [x]", "line 3: b has 1 attribute"),
        ("categories:\n  a: [x, y]\n  a: [u, v]", "line 3: the category a is there twice"),
        ("categories:\n  a: [x, y, x]", "line 2: a has the attribute x 2 times"),
        ("categories:\n  a: [x, '']", "line 2: a has the attribute ''"),
        ("categories:\n  a: [x, 'y ']", "line 2: a has the attribute 'y '"),
        ('categories:\n  a: [x, "y\\nz"]', "line 2: a has the attribute"),
        ("categories:\n  a/b: [x, y]", "line 2: 'a/b' cannot name a category"),
        ("categories:\n  images: [x, y]", "line 2: images cannot name a category"),
        ("categories:\n  val: [x, y]", "line 2: val cannot name a category: val_loss"),
        ("categories:\n  mean: [x, y]", "line 2: mean cannot name a category: mean_acc"),
        ("categories:\n  a: [x, y]\n  a_dropout: [x, y]", "line 3: the categories a and a_drop"),
        ("categories:\n  a: {attributes: [x, y], colour: red}", "line 2: colour of a is none of"),
        ("categories:\n  a: {attributes: x}", "line 2: the attributes of a are no list"),
        ("categories:\n  a: [x, [y]]", "line 2: one of the attributes of a is a list"),
        ("categories:\n  a: {loss_weight: 2}", "line 2: a has 0 attribute"),
        ("categories:\n  a: {attributes: [x, y], loss_weight: heavy}", "the loss weight of a is h"),
        ("categories:\n  a: {attributes: [x, y], loss_weight: inf}", "a has the loss weight inf"),
        ("categories: {a: [x, y]", "line 1: this is no YAML"),
        ("categories:\n\t- x", "line 2: this is no YAML"),
        ("[" * 5000, "this is no YAML"),
        ("--- a\n--- b", "this is no YAML"),
    ],
)
def test_what_is_wrong_is_told_with_file_and_line(tmp_path, text, message):
    with pytest.raises(InputError) as raised:
        Schema.load(written(tmp_path, text))
    assert message in str(raised.value)
    assert str(raised.value).startswith(str(tmp_path / "schema.yaml"))


def test_files_that_are_none(tmp_path):
    with pytest.raises(InputError, match="There is no schema"):
        Schema.load(tmp_path / "none.yaml")
    with pytest.raises(InputError, match="cannot be read as text"):
        Schema.load(tmp_path)
    (tmp_path / "schema.yaml").write_bytes(b"categories: \xff\xfe")
    with pytest.raises(InputError, match="cannot be read as text"):
        Schema.load(tmp_path / "schema.yaml")


def test_no_layer_of_the_model_can_be_a_category():
    """Every name that the model gives to a layer of its own is refused."""
    schema = builtin_schema()
    model = build_model(schema, "resnet50", image_size=32, fc_layers=4)
    own = [layer.name for layer in model.layers if layer.name not in schema]
    assert "images" in own and "fc4" in own and "fit_dropout" in own
    for name in own:
        with pytest.raises(InputError):
            Schema.of({**schema, name: ["x", "y"]})


def test_the_same_attribute_in_two_categories_is_told_by_both_names():
    schema = Schema.of({"top": ["red", "blue"], "shoes": ["red", "dr. black"]})
    assert schema.find_attribute("blue") == ("top", "blue")
    assert schema.find_attribute("shoes.red") == ("shoes", "red")
    assert schema.find_attribute("dr. black") == ("shoes", "dr. black")
    with pytest.raises(KeyError) as raised:
        schema.find_attribute("red")
    assert raised.value.args[0] == ["top.red", "shoes.red"]
    with pytest.raises(KeyError):
        schema.find_attribute("top.black")


def test_differences_are_said_in_words():
    ours = Schema.of({"a": ["x", "y"], "b": ["u", "v"], "c": ["x", "y"]})
    theirs = Schema.of({"a": ["y", "x"], "c": ["x", "y"], "d": ["x", "y"]})
    assert ours.differences(ours) == []
    assert ours.differences(theirs) == [
        "b is missing there",
        "d is only there",
        "a is [x, y] here and [y, x] there",
    ]
    (order,) = ours.differences(ours.select(["c", "a", "b"]))
    assert order == "the order is a, b, c here and c, a, b there"
    heavy = Schema((Category("a", ("x", "y"), "words", 3.0),))
    assert heavy.differences(Schema.of({"a": ["x", "y"]})) == []


def test_misspelt_and_missing_keys_are_named():
    schema = builtin_schema()
    schema.check("loss_weights", dict.fromkeys(schema))
    wrong = {**dict.fromkeys(schema), "febric": 1.0}
    del wrong["fabric"]
    with pytest.raises(ValueError, match="missing: fabric; unknown: febric"):
        schema.check("loss_weights", wrong)


def test_thousands_of_categories_take_no_longer_than_their_number_says():
    """Looking one up does not go through all of them."""
    seconds = []
    for count in (1_000, 8_000):
        schema = Schema.of({f"c{number}": ["a", "b"] for number in range(count)})
        began = time.process_time()
        for name, attributes in schema.items():
            assert schema[name] is attributes
        schema.check("a mapping", dict.fromkeys(schema))
        assert not schema.differences(schema)
        seconds.append(time.process_time() - began)
    # Eight times where it is linear, 64 times where it is quadratic.
    assert seconds[1] < 30 * max(seconds[0], 1e-3)
    copy = pickle.loads(pickle.dumps(schema))
    assert copy == schema and hash(copy) == hash(schema)
