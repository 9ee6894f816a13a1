"""Progress bars in the terminal, by rich."""

import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

from deepfashion_tf.errors import InputError

console = Console(highlight=False)


def make_progress(unit: str = "images") -> Progress:
    """Makes a bar with count, rate and time left; it shows nothing where there is no terminal."""
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[rate]}" if unit == "steps" else "[dim]" + unit),
        TimeElapsedColumn(),
        TextColumn("[dim]left"),
        TimeRemainingColumn(),
        console=console,
        transient=True,
        disable=not console.is_terminal,
    )


def count_aside(progress: Progress, task: TaskID, items: Iterable) -> threading.Thread | None:
    """Tells a bar how many items there are, as soon as a thread has gone through all of them.

    Args:
        progress: that shows the bar; if it shows nothing, nothing is counted.
        task: the bar.
        items: what can be gone through twice; an iterator cannot, and is left alone.

    Returns:
        The thread, if there is one.
    """
    if progress.disable or isinstance(items, Iterator):
        return None

    def count() -> None:
        with suppress(InputError):  # who needs the items hears of it
            progress.update(task, total=sum(1 for _ in items))

    thread = threading.Thread(target=count, daemon=True)
    thread.start()
    return thread


@contextmanager
def progress_bar(description: str, total: int) -> Iterator[Callable[[int, int], None]]:
    """Shows a bar while the block runs; the block reports ``(done, total)``."""
    console.print(f"[dim]{description}: {total} images[/dim]")
    with make_progress() as progress:
        task = progress.add_task(description, total=total)
        yield lambda done, total: progress.update(task, completed=done, total=total)
