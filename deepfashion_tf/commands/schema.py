"""Proposes a schema for a table of images from its columns and their values."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from deepfashion_tf.data.schema_proposal import propose_schema
from deepfashion_tf.data.table_options import TableOptions
from deepfashion_tf.outputs import check_ending, check_outputs


@dataclass(frozen=True)
class Options(TableOptions):
    table: Annotated[str, tyro.conf.Positional]
    """Table: CSV, a spreadsheet (.xlsx, .ods) or Parquet, also at s3:// or gs://."""
    columns: tuple[str, ...] = ()
    """Columns that are categories. None: all with 2 to 60 repeated values."""
    output: Path = Path("schema.yaml")
    """Schema file to write. Check it before training."""


def main() -> None:
    options = tyro.cli(Options, description=__doc__)
    check_ending("--output", options.output, "schema", ".yaml", ".yml")
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
