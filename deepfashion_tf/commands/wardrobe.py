"""Draws the built-in wardrobe into a folder, in the challenge layout."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import cv2
import tyro

from deepfashion_tf.data.deepfashion import read_split
from deepfashion_tf.data.table import write_table
from deepfashion_tf.data.wardrobe import draw_contact_sheet, write_wardrobe
from deepfashion_tf.errors import InputError, printable
from deepfashion_tf.files import whole_or_nothing
from deepfashion_tf.progress import progress_bar


@dataclass(frozen=True)
class Options:
    directory: Annotated[Path | None, tyro.conf.Positional] = None
    """Folder to create. None: only the contact sheet is drawn."""
    train: int = 3000
    """Number of training images."""
    val: int = 400
    """Number of validation images."""
    test: int = 400
    """Number of test images."""
    seed: int = 0
    """Seed; the same seed draws the same files."""
    table: bool = False
    """Also write DIRECTORY/table.csv with boxes and labels."""
    kinds: bool = False
    """Draw garments of several fabrics and write table.csv and schema.yaml instead of
    DeepFashion's lists: fabric is of kind multi, sleeve is optional."""
    contact_sheet: Path | None = None
    """Contact sheet to write (.png or .jpg), one column per attribute."""


def main() -> None:
    options = tyro.cli(Options, description=__doc__)
    if not options.directory and not options.contact_sheet:
        raise InputError("Nothing to draw: name a folder, or a file with --contact-sheet.")
    if options.contact_sheet and options.contact_sheet.suffix not in (".jpg", ".png"):
        raise InputError(f"--contact-sheet {options.contact_sheet} must end in .jpg or .png.")
    if options.kinds and options.table:
        raise InputError("--kinds writes a table itself: leave out --table.")
    counts = {name: getattr(options, name) for name in ("train", "val", "test")}
    if options.directory:
        with progress_bar("drawing the wardrobe", sum(counts.values())) as on_progress:
            write_wardrobe(
                options.directory,
                **counts,
                seed=options.seed,
                kinds=options.kinds,
                on_progress=on_progress,
            )
        if options.table:
            splits = [read_split(options.directory, name) for name, n in counts.items() if n]
            write_table(options.directory / "table.csv", splits)
        print(f"Wardrobe: {printable(options.directory)} ({sum(counts.values())} images)")
    if options.contact_sheet:
        sheet = draw_contact_sheet(options.seed)
        with whole_or_nothing(options.contact_sheet) as temporary:
            cv2.imwrite(str(temporary), sheet[..., ::-1], (cv2.IMWRITE_JPEG_QUALITY, 85))
        print(f"Contact sheet: {printable(options.contact_sheet)}")
