"""Finds the photographs of a catalogue that are most similar to a picture."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from deepfashion_tf.command_line import import_tensorflow
from deepfashion_tf.errors import InputError, printable
from deepfashion_tf.outputs import check_outputs


@dataclass(frozen=True)
class Options:
    run: Annotated[Path, tyro.conf.Positional]
    """Run directory that computed the features."""
    table: Annotated[Path, tyro.conf.Positional]
    """Features of the catalogue: the file of `deepfashion predict --embed`."""
    images: Annotated[tuple[str, ...], tyro.conf.Positional]
    """Images, folders, quoted patterns, or tables with boxes."""
    top: int = 10
    """Photographs to find for each image."""
    output: Path | None = None
    """Contact sheet to write, .jpg or .png. None: the terminal alone."""


def main() -> int:
    options = tyro.cli(Options, description=__doc__)
    if options.top < 1:
        raise InputError(f"--top is {options.top}, but must be 1 or more.")
    if options.output and options.output.suffix not in (".jpg", ".png"):
        raise InputError(f"--output {options.output} must end in .jpg or .png.")
    check_outputs({"--output": options.output}, [options.table, *options.images], [options.run])
    import_tensorflow()
    from deepfashion_tf.files import whole_or_nothing
    from deepfashion_tf.inference.items import fetched, find_items
    from deepfashion_tf.runs.run import Run
    from deepfashion_tf.serving.similar import draw_sheet, find_similar

    items = list(fetched(find_items(options.images)))
    found = find_similar(Run.load(options.run), options.table, items, options.top)
    shown = []
    for item, neighbours in zip(items, found, strict=True):
        if isinstance(neighbours, str):
            print(f"{printable(item.image)} {printable(neighbours)}")
            continue
        print(printable(item.image))
        for each in neighbours:
            print(f"  {each.similarity:.3f}  {printable(each.image)}")
        shown.append((item, neighbours))
    if not shown:
        raise InputError("None of the images could be read.")
    if options.output:
        read = [each.path for _, neighbours in shown for each in neighbours]
        check_outputs({"--output": options.output}, [*read, *(item.path for item, _ in shown)])
        with whole_or_nothing(options.output) as temporary:
            draw_sheet(shown).save(temporary, quality=90)
        print(f"Contact sheet: {printable(options.output)}")
    return int(len(shown) < len(items))
