"""Progress bars in the terminal, by rich."""

import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    Task,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.text import Text

from deepfashion_tf.errors import InputError, printable


class PlainConsole(Console):
    """Prints words as they stand, in tables too: it reads no markup and no names of emoji.

    Colour comes from `style=`, or from a `rich.text.Text` without names in it. A text may have
    several lines; every other control character is shown as an escape.
    """

    def __init__(self, **options) -> None:
        super().__init__(highlight=False, markup=False, emoji=False, **options)

    def on_broken_pipe(self) -> None:
        """Leaves it to `command_line.run` what a closed pipe means."""
        raise BrokenPipeError

    def render_str(self, text: str, **options) -> Text:
        lines = "\n".join(map(printable, text.split("\n")))
        return super().render_str(lines, **options)


console = PlainConsole()


class _PlainColumn(TextColumn):
    """Shows a text as `PlainConsole` does."""

    def __init__(self, text_format: str, style: str = "none") -> None:
        super().__init__(text_format, style=style, markup=False)

    def render(self, task: Task) -> Text:
        text = super().render(task)
        text.plain = printable(text.plain)
        return text


def make_progress(unit: str = "images") -> Progress:
    """Makes a bar with count, rate and time left; it shows nothing where there is no terminal."""
    return Progress(
        _PlainColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        _PlainColumn("{task.fields[rate]}") if unit == "steps" else _PlainColumn(unit, "dim"),
        # What a step has beside it leaves no room for it in a narrow terminal.
        *([] if unit == "steps" else [TimeElapsedColumn()]),
        _PlainColumn("left", "dim"),
        TimeRemainingColumn(),
        console=console,
        transient=True,
        disable=not console.is_terminal,
    )


def count_aside(progress: Progress, task: TaskID, items: Iterable) -> threading.Thread | None:
    """Sets the total of a bar, as soon as a thread has gone through all items.

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
    console.print(f"{description}: {total} images", style="dim")
    with make_progress() as progress:
        task = progress.add_task(description, total=total)
        yield lambda done, total: progress.update(task, completed=done, total=total)
