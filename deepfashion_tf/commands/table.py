"""Converts class folders, COCO, CVAT or Label Studio to a table and a schema."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from deepfashion_tf.data.foreign.convert import read_annotations, write_records
from deepfashion_tf.data.schema_proposal import propose_schema
from deepfashion_tf.errors import counted, list_some, printable
from deepfashion_tf.outputs import check_ending, check_outputs


@dataclass(frozen=True)
class Options:
    input: Annotated[Path, tyro.conf.Positional]
    """Folder of class folders, COCO .json, CVAT .xml or Label Studio .json."""
    images: Path | None = None
    """Base folder of the image names in the file. None: the folder of the table."""
    levels: tuple[str, ...] = ()
    """Meaning of each folder level: split, a category name, or - for none."""
    output: Path = Path("table.csv")
    """Table to write."""
    schema: Path = Path("schema.yaml")
    """Schema to write. Check it before training."""


def main() -> int:
    options = tyro.cli(Options, description=__doc__)
    check_ending("--output", options.output, "table", ".csv")
    check_ending("--schema", options.schema, "schema", ".yaml", ".yml")
    check_outputs({"--output": options.output, "--schema": options.schema}, [options.input])
    found = read_annotations(options.input, options.levels)
    several = write_records(options.output, found, options.images)
    rows, left_out = len(found.records), len(found.left_out)
    print(f"{counted(rows + left_out, 'annotation')}: {counted(rows, 'row')}, {left_out} left out")
    if found.left_out:
        listed = [f"  {printable(place)} {printable(why)}" for place, why in found.left_out]
        print(list_some(listed, separator="\n"))
    for column, count in several.items():
        print(
            f"several words in {printable(column)}, of which none is taken: {counted(count, 'row')}"
        )
    print(f"Table: {options.output}")
    proposal = propose_schema(options.output)
    proposal.schema.save(options.schema)
    for warning in proposal.warnings:
        print(f"look at {warning}")
    print(f"Schema: {options.schema}")
    return int(bool(left_out or several))
