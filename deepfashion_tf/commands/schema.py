"""Proposes a schema for a table of images: its columns, and the words that stand in them."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from deepfashion_tf.data.schema_proposal import propose_schema
from deepfashion_tf.data.table_options import TableOptions
from deepfashion_tf.outputs import check_outputs


@dataclass(frozen=True)
class Options(TableOptions):
    table: Annotated[Path, tyro.conf.Positional]
    """Table: CSV, a spreadsheet (.xlsx, .ods) or Parquet."""
    columns: tuple[str, ...] = ()
    """Columns that are categories. None: all with 2 to 60 values that repeat."""
    output: Path = Path("schema.yaml")
    """File to write; read it, and correct what is wrong."""


def main() -> None:
    options = tyro.cli(Options, description=__doc__)
    check_outputs({"--output": options.output}, [options.table])
    proposal = propose_schema(options.table, options.columns, options)
    proposal.schema.save(options.output)
    for category, counts in proposal.counts.items():
        print(f"{category}: {', '.join(f'{name} ({count})' for name, count in counts.items())}")
    for column, reason in proposal.left_out.items():
        print(f"left out: {column} ({reason})")
    for warning in proposal.warnings:
        print(f"look at {warning}")
    print(f"Schema: {options.output}")
