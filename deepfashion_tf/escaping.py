"""Names as words: one function for each kind of output that would read signs in them.

An attribute, a category, a path and the text of an error may hold anything. `[/b]`,
`$0_$9`, `![x](http://…)`, `<script>` or an escape sequence in them is shown, not obeyed.
For the terminal `deepfashion_tf.errors.printable` does it, and `progress.console` calls that.
"""

import html
import re

from deepfashion_tf.errors import printable

# A name between letters keeps its underscores: long_sleeve is no emphasis.
_MARKDOWN = re.compile(r"(?<![^\W_])_|_(?![^\W_])|[\\`*{}\[\]<>()#+!|~&$:@^=\"']")
# A spreadsheet in Japanese takes the wide signs, too.
_FORMULA = r"'*[=+\-@＝＋－＠]"
_NUMBER = r"[+-]?[0-9]+([.,][0-9]+)?([eE][+-]?[0-9]+)?%?"


def figure_text(value: object) -> str:
    """Keeps matplotlib from reading ``$`` as mathematics and a first ``_`` as "not in legends"."""
    text = printable(value).replace("$", r"\$")
    # A space of no width: a legend leaves out labels that begin with an underscore.
    return f"\N{ZERO WIDTH SPACE}{text}" if text.startswith("_") else text


def markdown_text(value: object) -> str:
    """Escapes what Markdown reads as a picture, a link, HTML, emphasis, code or a table."""
    text = _MARKDOWN.sub(r"\\\g<0>", printable(value))
    # At the start of a line these begin a list or a heading; bare addresses become links.
    text = re.sub(r"^(\s*\d*)([-.)])", r"\1\\\2", text)
    return re.sub(r"(?i)\bwww\.", r"www\\.", text)


def html_text(value: object) -> str:
    """Escapes a text for HTML, quotes included, so that an attribute's value may hold it."""
    return html.escape(printable(value))


def cell_text(value: object) -> str:
    """Keeps a text in a CSV file from being a formula, and control characters from a terminal.

    Spreadsheets run what begins with ``=``, ``+``, ``-`` or ``@`` and is no number. Such a text
    gets an apostrophe before it, and so does such a text that has apostrophes already:
    `read_cell` takes off exactly one. Control characters become escapes such as ``\\t``.
    """
    text = printable(value)
    return f"'{text}" if _is_formula(text) else text


def read_cell(text: str) -> str:
    """Takes off the apostrophe that `cell_text` puts before a text."""
    return text[1:] if text.startswith("'") and _is_formula(text[1:]) else text


def encodable(text: str) -> str:
    """Shows bytes of a file's name that are no UTF-8 as escapes, and leaves all else."""
    return text.encode("utf-8", "backslashreplace").decode()


def _is_formula(text: str) -> bool:
    return bool(re.match(_FORMULA, text)) and not re.fullmatch(_NUMBER, text)
