"""What scripts/check_data.py does: looks, tells, draws, mends."""

from pathlib import Path

from rich.markup import escape
from rich.table import Table

from deepfashion_tf.data.table import write_table
from deepfashion_tf.doctor import page
from deepfashion_tf.doctor.examination import Examined, describe, examine, existing_splits, notes
from deepfashion_tf.doctor.findings import KINDS, RARE, Rows, count_labels
from deepfashion_tf.doctor.mend import mend
from deepfashion_tf.errors import InputError
from deepfashion_tf.files import write_atomically
from deepfashion_tf.progress import console
from deepfashion_tf.training.config import TrainConfig

_NAMED = 5  # findings of a kind that the terminal shows


def check_data(config: TrainConfig, html: Path | None, fixed: Path | None) -> int:
    """Examines a data set and gives the exit code: 1 where training or scores would be spoilt.

    Args:
        config: names the data set.
        html: where the page is written, if at all.
        fixed: where a table without what is wrong is written, if at all.

    Raises:
        InputError: the data set or a path cannot be used.
    """
    if html and html.suffix.lower() not in (".html", ".htm"):
        raise InputError(f"--html {html} is no page: name a file that ends in .html.")
    if fixed and fixed.suffix.lower() != ".csv":
        raise InputError(f"--fix {fixed} is no table: name a file that ends in .csv.")
    splits = existing_splits(config)
    examined = examine(config.data_name, splits)
    tell(examined)
    if html:
        write_atomically(html, page.render(examined))
        console.print(f"Page: {html}", soft_wrap=True)
    if fixed:
        kept = mend(examined.rows, examined.findings)
        write_table(fixed, kept)
        left = sum(len(split) for split in kept)
        console.print(
            f"Without them: {fixed}, {left} of {len(examined.rows)} rows; look at what was left "
            f"out before you train on it.",
            soft_wrap=True,
        )
    return 1 if examined.is_spoilt else 0


def tell(examined: Examined) -> None:
    """Prints counts and findings."""
    rows = examined.rows
    counts = ", ".join(f"{len(split)} {split.name}" for split in rows.splits)
    console.print(f"\n[bold]{escape(examined.name)}[/bold]: {counts} images", soft_wrap=True)
    console.print(_count_table(rows))
    for note in notes(examined):
        console.print(f"[dim]{escape(note)}[/dim]", soft_wrap=True)
    if not examined.findings:
        console.print("Nothing is wrong with the images, the boxes or the splits.")
    for kind, about in KINDS.items():
        found = examined.of_kind(kind)
        if not found:
            continue
        colour = "red" if about.spoils else "yellow"
        console.print(
            f"\n[{colour}]{len(found)} {about.title}[/{colour}]: {about.advice}.", soft_wrap=True
        )
        for finding in found[:_NAMED]:
            console.print(f"  {escape(describe(rows, finding))}", soft_wrap=True)
        if len(found) > _NAMED:
            console.print(f"  … and {len(found) - _NAMED} more (--html shows some of them)")
    if examined.is_spoilt:
        console.print("\nWhat is red spoils training or scores.")


def _count_table(rows: Rows) -> Table:
    table = Table(box=None, pad_edge=False)
    for name in ("category", "attribute"):
        table.add_column(name)
    for split in rows.splits:
        table.add_column(split.name, justify="right")
    for category, attributes in rows.schema.items():
        counts = count_labels(rows, category)
        for number, attribute in enumerate([*attributes, "not labelled"]):
            column = counts[:, number]
            is_label = number < len(attributes)
            if is_label or column.any():
                style = "yellow" if is_label and column[0] < RARE else "" if is_label else "dim"
                name = category if number == 0 else ""
                table.add_row(name, attribute, *(str(count) for count in column), style=style)
    return table
