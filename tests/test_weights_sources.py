"""What --weights may name: nothing else is looked for, and nowhere else."""

import os
from pathlib import Path

import pytest
from tiny_weights import make_tiny

from deepfashion_tf.errors import InputError
from deepfashion_tf.models.variants import BACKBONES, PUBLISHED, VARIANTS
from deepfashion_tf.models.weights import find_weights, read_weights


@pytest.mark.parametrize(
    "model",
    [
        "resnet50.a/../b", "resnet50.a\\b", "resnet50.", "resnet50..a", ".resnet50.a",
        "/resnet50.a", "../resnet50.a", "resnet50.a/b", "resnet50.a b", "resnet50.a\0",
        "resnet50.ä", "resnet50.a.",
        "resnet50.a\n", "resnet50.a--b", "resnet50.a.git", "resnet50." + "a" * 90, "", "/", "~.a",
    ],
)  # fmt: skip
def test_a_timm_name_never_leads_out_of_the_cache(model, monkeypatch):
    def fail(*arguments, **options):
        pytest.fail("asked the hub")

    monkeypatch.setattr("deepfashion_tf.models.weights.sources.download_from_hub", fail)
    with pytest.raises(InputError, match=r"is no model that fits: name one ARCHITECTURE\.TAG"):
        find_weights(f"timm:{model}", None)


@pytest.mark.parametrize("source", ["", "  ", "\n"])
def test_an_empty_name_is_refused(source):
    with pytest.raises(InputError, match="--weights is empty: say imagenet"):
        find_weights(source, "resnet50")


def test_paths_that_are_no_file(tmp_path):
    (tmp_path / "self").symlink_to(tmp_path / "self")
    (tmp_path / "file").write_text("")
    os.mkfifo(tmp_path / "pipe")
    for path, reason in (
        (tmp_path / "x\0y", "null byte"),
        (tmp_path / ("x" * 300), "file name too long"),
        (tmp_path, "a folder"),
        (tmp_path / "self", "symbolic links"),
        (tmp_path / "pipe", "no regular file"),
        (tmp_path / "file" / "inside", "not a directory"),
        (Path("~nouser/x.h5"), "home directory"),
    ):
        with pytest.raises(InputError, match=f"is no file, and neither imagenet.*{reason}"):
            find_weights(str(path), "resnet50")
        with pytest.raises(InputError, match=f"There is no weights file.*{reason}"):
            read_weights(path)


def test_the_home_folder_is_found(tmp_path, monkeypatch):
    _, path = make_tiny("named.h5", tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    assert find_weights(f"~/{path.name}", "resnet50").file.path == path


def test_published_weights_have_a_variant_of_their_own(tmp_path, monkeypatch):
    """Another variant for random weights leaves what `imagenet` stands for."""
    _, path = make_tiny("named.h5", tmp_path)
    monkeypatch.setitem(BACKBONES, "resnet50", "timm.resnet50")
    monkeypatch.setattr("deepfashion_tf.models.weights.sources.download", lambda *_, **__: None)
    monkeypatch.setattr(Path, "__truediv__", lambda *_: path)
    assert find_weights("imagenet", "resnet50").variant == PUBLISHED["resnet50"]
    assert all(VARIANTS[variant].backbone == name for name, variant in PUBLISHED.items())
