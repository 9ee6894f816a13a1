"""Files that people write may be anything: none of them makes a command wait."""

import os

import pytest

BOMB = "a: &a [x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"{new}: &{new} [{', '.join([f'*{old}'] * 9)}]\n"
    for old, new in zip("abcdefghi", "bcdefghij", strict=True)
)


@pytest.fixture(params=["bomb", "alias", "pipe", "device", "large"])
def odd(request, tmp_path) -> str:
    path = tmp_path / "odd.yaml"
    if request.param == "bomb":
        path.write_text(BOMB)
    elif request.param == "alias":
        path.write_text("categories: &x {a: [b, c]}\ngamma: *x\n")
    elif request.param == "pipe":
        os.mkfifo(path)
    elif request.param == "large":
        path.write_text("# a comment\n" * 200_000)
    return "/dev/zero" if request.param == "device" else str(path)


def test_a_recipe_or_a_schema_that_is_none(run_here, odd, tmp_path):
    for script, *options in (
        ("train", "--config", odd),
        ("tune", "--config", odd),
        ("train", "--schema", odd, "--data", "wardrobe", "--weights", "none"),
        ("check_data", "wardrobe", "--schema", odd),
    ):
        code, _, err = run_here(script, *options, cwd=tmp_path)
        assert code == 2 and err.count("\n") == 1 and odd in err, (script, err)
