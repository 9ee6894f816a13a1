"""What `deepfashion tag` does with its options."""

import os
import time
from pathlib import Path
from typing import Protocol

from deepfashion_tf.data.addresses import is_address
from deepfashion_tf.errors import InputError
from deepfashion_tf.files import is_file
from deepfashion_tf.inference.acceptance import check_shares, thresholds
from deepfashion_tf.inference.answers import Wanted
from deepfashion_tf.inference.items import find_items, has_boxes, kept_columns
from deepfashion_tf.outputs import is_within
from deepfashion_tf.progress import console
from deepfashion_tf.serving.catalogue.places import Disk, place_of
from deepfashion_tf.serving.catalogue.tagging import (
    columns_of,
    describe,
    opened,
    tag_catalogue,
    tell,
)
from deepfashion_tf.serving.catalogue.workers import Crew, Workers


class Options(Protocol):
    """The options of `deepfashion tag`, those of tables included."""

    run: Path
    input: tuple[str, ...]
    output: str
    shard_size: int
    workers: int
    threads: int | None
    address: str | None
    top: int
    threshold: float | None
    accept_accuracy: float | None
    engine: str
    exact: bool
    check_content: bool


def catalogue_command(options: Options) -> int:
    """Tags a catalogue and gives the exit code: 1 where some images could not be answered.

    Raises:
        InputError: the options, the model or the folder cannot be used.
    """
    check_shares(options.threshold, options.accept_accuracy)
    for name in ("shard_size", "workers", "threads", "top"):
        if getattr(options, name) is not None and getattr(options, name) < 1:
            option = name.replace("_", "-")
            raise InputError(f"--{option} is {getattr(options, name)}, but must be 1 or more.")
    place = place_of(options.output)
    outside = place.folder if isinstance(place, Disk) else None
    if outside and is_file(outside):
        raise InputError(f"--output {options.output} is a file: name a folder.")
    for text in options.input:
        if outside and not is_address(text) and is_within(text, outside):
            raise InputError(
                f"--input {text} lies in --output {options.output}, whose files are answers: name "
                f"another folder."
            )
    kept = kept_columns(options.input, options.keep_columns, options)
    threads = options.threads or max(1, (os.cpu_count() or 1) // options.workers)
    began = time.monotonic()
    crew = Crew(
        options.workers,
        threads,
        options.address,
        options.engine,
        options.accept_damaged,
        options.exact,
    )
    with Workers(options.run, crew) as workers:
        model = workers.describe()
        least = thresholds(model, options.threshold, options.accept_accuracy)
        wanted = Wanted.of(model, least, options.top, has_boxes(options.input), kept)
        console.print(f"answered by {model.engine}", style="dim")
        plan = {
            "shard_size": options.shard_size,
            "engine": f"{model.engine.name}, {model.engine.precision}",
            **describe(options.run),
        }
        with opened(place, plan | columns_of(wanted)):
            found = find_items(options.input, None, options, outside, kept)
            answered, faulty = tag_catalogue(
                workers,
                found,
                wanted,
                place,
                options.shard_size,
                options.check_content,
            )
    tell(answered, faulty, place, time.monotonic() - began, found.tally)
    return 1 if faulty else 0
