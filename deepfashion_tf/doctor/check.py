"""What `deepfashion check` does: looks, tells, draws, mends."""

from dataclasses import fields

from rich.table import Table
from rich.text import Text

from deepfashion_tf.data.table import write_table
from deepfashion_tf.data.table_file import TableFile
from deepfashion_tf.data.table_options import RowOptions
from deepfashion_tf.data.table_place import TablePlace
from deepfashion_tf.doctor import page
from deepfashion_tf.doctor.examination import Examined, describe, examine, existing_splits, notes
from deepfashion_tf.doctor.findings import KINDS, RARE, Rows, count_labels
from deepfashion_tf.doctor.mend import mend
from deepfashion_tf.doctor.noise import (
    Doubted,
    estimate_noise,
    find_doubts,
    out_of_sample,
)
from deepfashion_tf.doctor.options import Options
from deepfashion_tf.errors import printable
from deepfashion_tf.evaluation.relabel import read_doubts, write_doubts
from deepfashion_tf.files import write_atomically
from deepfashion_tf.inference.items import kept_columns
from deepfashion_tf.outputs import check_outputs
from deepfashion_tf.progress import console
from deepfashion_tf.runs.config import TrainConfig
from deepfashion_tf.runs.run import SCHEMA_FILE, Run

_NAMED = 5  # findings of a kind that the terminal shows


def check_data(options: Options) -> int:
    """Examines a data set and gives the exit code: 1 where training or scores would be spoilt.

    Raises:
        InputError: the data set, the run or a path cannot be used.
    """
    _check_outputs(options)
    if options.keep_columns:
        kept_columns([options.data], options.keep_columns, options)
    run = Run.load(options.run) if options.run else None
    config = TrainConfig(
        data=options.data,
        schema=options.schema,
        offline=options.offline,
        **{field.name: getattr(options, field.name) for field in fields(RowOptions)},
        # The run is asked about images as it knows them.
        box_padding=run.config.box_padding if run else 0.0,
    )
    splits = existing_splits(config, run.schema if run and not options.schema else None)
    if options.relabel:
        splits = read_doubts(options.relabel, splits)
    examined = examine(config.data_name, splits)
    tell(examined)
    doubted = tell_doubts(options, run, examined) if options.folds else None
    if options.html:
        write_atomically(options.html, page.render(examined, doubted))
        console.print(f"Page: {options.html}", soft_wrap=True)
    if options.fix:
        kept = mend(examined.rows, examined.findings)
        write_table(options.fix, kept, _kept_cells(options))
        left = sum(len(split) for split in kept)
        console.print(
            f"Without them: {options.fix}, {left} of {len(examined.rows)} rows; look at what was "
            f"left out before you train on it.",
            soft_wrap=True,
        )
    return 1 if examined.is_spoilt else 0


def _kept_cells(options: Options) -> dict[str, list[str | None]]:
    """Returns the columns that --fix keeps: name -> a cell a row."""
    names = kept_columns([options.data], options.keep_columns, options)
    if not names:
        return {}
    path = TablePlace.of(options.data, options.offline).path
    table = TableFile(path, options, {}, {name: name for name in names})
    cells: dict[str, list[str | None]] = {name: [] for name in table.names}
    for entry in table:
        for place, name in enumerate(table.names):
            cells[name].append(entry.values[place] if entry.values else None)
    return cells


def _check_outputs(options: Options) -> None:
    models = options.noise_dir if options.folds else None
    check_outputs(
        {
            "--html": options.html,
            "--fix": options.fix,
            "--export": options.export if options.folds else None,
            "--noise-dir": models,
            # The models are trained by it.
            "The schema of --noise-dir,": models and models / SCHEMA_FILE,
        },
        [options.data, options.schema, options.relabel, options.run],
        [options.run],
    )


def tell_doubts(options: Options, run: Run, examined: Examined) -> Doubted:
    """Finds labels that models which have not seen them doubt, and writes them to a file."""
    images, groups = examined.together()
    images = images.select(run.trained)
    probabilities = out_of_sample(
        run, images, groups, options.folds, options.noise_dir, options.parallel
    )
    doubts = find_doubts(images, probabilities)
    noise = estimate_noise(images, probabilities)
    table = Table(title=f"Labels that are wrong, estimated with {options.folds} folds")
    for name in ("category", "share", "95 % interval", "labels in doubt"):
        table.add_column(name, justify="left" if name == "category" else "right")
    for category, found in noise.items():
        count = sum(doubt.is_issue for doubt in doubts if doubt.category == category)
        interval = f"{found.low:.1%} to {found.high:.1%}"
        table.add_row(category, f"{found.share:.1%}", interval, str(count))
    console.print(table)
    # Whoever corrects labels wants some beyond those that are counted as wrong, too.
    count = min(len(doubts), max(50, sum(doubt.is_issue for doubt in doubts)))
    write_doubts(options.export, images, doubts[:count])
    console.print(
        f"The {count} least believed labels: {options.export}. Correct its last column, then "
        f"--relabel {options.export} --fix corrected.csv. A model that errs is no proof: where it "
        f"is often wrong, so is this.",
        soft_wrap=True,
    )
    return Doubted(images, doubts, noise)


def tell(examined: Examined) -> None:
    """Prints counts and findings."""
    rows = examined.rows
    counts = ", ".join(f"{len(split)} {split.name}" for split in rows.splits)
    name = Text(printable(examined.name), "bold")
    console.print(Text.assemble("\n", name, f": {counts} images"), soft_wrap=True)
    console.print(_count_table(rows))
    for note in notes(examined):
        console.print(note, style="dim", soft_wrap=True)
    if not examined.findings:
        console.print("Nothing is wrong with the images, the boxes or the splits.")
    for kind, about in KINDS.items():
        found = examined.of_kind(kind)
        if not found:
            continue
        colour = "red" if about.spoils else "yellow"
        title = Text(f"{len(found)} {about.title}", colour)
        console.print(Text.assemble("\n", title, f": {about.advice}."), soft_wrap=True)
        for finding in found[:_NAMED]:
            console.print(f"  {describe(rows, finding)}", soft_wrap=True)
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
