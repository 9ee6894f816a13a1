"""The one exception that stands for a mistake of the person at the keyboard."""


class InputError(Exception):
    """Reports in one sentence what is wrong, where, and how to mend it.

    Scripts print its message without a traceback and exit with code 2.
    """


class MissingSplit(InputError):
    """Reports that a data set has no image in a split.

    Attributes:
        split: "train", "val" or "test".
    """

    def __init__(self, split: str, message: str) -> None:
        super().__init__(message)
        self.split = split


def list_some(items: list[str], separator: str = ", ", most: int = 10) -> str:
    """Joins the first items for a message, and says how many more there are."""
    more = len(items) - most
    return separator.join([*items[:most], *([f"… and {more} more"] if more > 0 else [])])


def counted(count: int, noun: str) -> str:
    """Returns "1 row" or "2 rows"."""
    return f"{count} {noun}{'s' * (count != 1)}"


def printable(value: object) -> str:
    """Shows what a terminal cannot show or would obey as an escape, such as ``\\x1b``.

    Brackets stay: `deepfashion_tf.progress.console` reads no markup.
    """
    text = str(value)
    if text.isprintable():
        return text
    return "".join(
        sign if sign.isprintable() else sign.encode("unicode_escape", "replace").decode()
        for sign in text
    )
