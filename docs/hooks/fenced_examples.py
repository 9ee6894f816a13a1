"""Shows the examples of docstrings as code: they stand there without fences."""

import re
import textwrap
from typing import Any

import griffe

_EXAMPLE = re.compile(r"^Example:\n((?:(?: {4}.*)?\n?)+)", re.MULTILINE)


class FencedExamples(griffe.Extension):
    """Puts fences around the code below "Example:"."""

    def on_object(self, *, obj: griffe.Object, **_: Any) -> None:
        """Rewrites the docstring of an object."""
        if obj.docstring:
            obj.docstring.value = _EXAMPLE.sub(_fenced, obj.docstring.value)


def _fenced(found: re.Match) -> str:
    code = textwrap.dedent(found[1]).strip("\n")
    fenced = textwrap.indent(f"```python\n{code}\n```", "    ")
    return f"Example:\n{fenced}\n\n"
