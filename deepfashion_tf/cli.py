"""The console command `deepfashion`: one subcommand for each thing that the project does."""

import importlib
import sys
from types import ModuleType

from deepfashion_tf.command_line import run

# In the order of a user's work; each is a module of `commands`.
COMMANDS = {
    "train": "trains a model, scores it, and exports it",
    "evaluate": "scores a run on a split, and draws a report page",
    "predict": "reads the attributes off photographs",
    "export": "exports a run for TensorFlow, OpenVINO, ONNX or LiteRT",
    "similar": "finds photographs similar to a picture",
    "tag": "tags a catalogue on all cores, or on a Ray cluster",
    "demo": "shows a model on a web page",
    "serve": "serves predictions over HTTP",
    "check": "examines images, boxes, splits and labels",
    "schema": "proposes a schema for a table of images",
    "table": "makes a table from folders, COCO, CVAT or Label Studio",
    "tune": "searches learning rate, gamma and loss weights",
    "ensemble": "makes one run of several, or distils them into one",
    "reproduce": "runs the report's tables and figures, or a study",
    "weights": "describes a weights file, or converts published weights",
    "wardrobe": "draws the built-in wardrobe",
    "ask": "asks a TensorFlow Serving server",
}
_USAGE = "usage: deepfashion COMMAND [OPTIONS]"


def main() -> None:
    """Runs the subcommand that the command line names."""
    name, rest = (sys.argv[1] if len(sys.argv) > 1 else "--help"), sys.argv[2:]
    if name in ("-h", "--help"):
        print(f"{_USAGE}\n\nReads attributes off fashion photographs.\n\ncommands:")
        for each, text in COMMANDS.items():
            print(f"  {each:<10} {text}")
        print("\ndeepfashion COMMAND --help lists the options of a command.")
    elif name == "--version":
        from deepfashion_tf import __version__

        print(f"deepfashion_tf {__version__}")
    elif name in COMMANDS:
        sys.argv = [f"deepfashion {name}", *rest]
        run_command(name)
    else:
        print(f"error: There is no command {name!r}: {', '.join(COMMANDS)}.", file=sys.stderr)
        sys.exit(2)


def run_command(name: str) -> None:
    """Runs a subcommand with the options of this process, and exits with its code."""
    run(command_module(name).main)


def command_module(name: str) -> ModuleType:
    """Imports the module of a subcommand."""
    return importlib.import_module(f"deepfashion_tf.commands.{name}")
