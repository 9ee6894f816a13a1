"""Proposes a schema for a table of images: its columns, and the values that stand in them."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from deepfashion_tf.command_line import run
from deepfashion_tf.data.table import infer_schema
from deepfashion_tf.outputs import check_outputs


@dataclass(frozen=True)
class Options:
    table: Annotated[Path, tyro.conf.Positional]
    """Table (.csv, .parquet) with a column image."""
    columns: tuple[str, ...] = ()
    """Columns that are categories. None: all with 2 to 60 values that repeat."""
    output: Path = Path("schema.yaml")
    """File to write; read it, and correct what is wrong."""


def main() -> None:
    options = tyro.cli(Options, description=__doc__)
    check_outputs({"--output": options.output}, [options.table])
    schema, left_out = infer_schema(options.table, options.columns)
    schema.save(options.output)
    for category, attributes in schema.items():
        print(f"{category}: {', '.join(attributes)}")
    for column, reason in left_out.items():
        print(f"left out: {column} ({reason})")
    print(f"Schema: {options.output}")


if __name__ == "__main__":
    run(main)
