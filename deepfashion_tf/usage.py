"""How to type a command of this project: as the person at the keyboard does."""

import shlex
import sys
from pathlib import Path

# Subcommand -> the script that does the same.
SCRIPTS = {
    "ask": "ask_server",
    "check": "check_data",
    "demo": "demo",
    "ensemble": "ensemble",
    "evaluate": "evaluate",
    "export": "export",
    "predict": "predict",
    "reproduce": "reproduce",
    "schema": "make_schema",
    "serve": "serve",
    "similar": "find_similar",
    "table": "make_table",
    "tag": "tag_catalogue",
    "train": "train",
    "tune": "tune",
    "wardrobe": "make_wardrobe",
    "weights": "convert_weights",
}


def command(name: str) -> str:
    """Returns "python scripts/train.py" after a script, and "deepfashion train" otherwise."""
    script = Path(sys.argv[0])
    if script.suffix == ".py" and script.parent.name == "scripts":
        return f"python scripts/{SCRIPTS[name]}.py"
    return f"deepfashion {name}"


def typed(name: str) -> str:
    """Returns the command line of this process, which is one of a command."""
    return shlex.join([*command(name).split(), *sys.argv[1:]])
