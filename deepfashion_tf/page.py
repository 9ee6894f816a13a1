"""Markdown and pictures as one HTML file that needs nothing beside it."""

import base64
import re
from collections.abc import Mapping, Sequence

from markdown_it import MarkdownIt

from deepfashion_tf.escaping import html_text

_PAGE = """<!doctype html>
<html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>{title}</title>
<style>
body {{ font: 16px/1.55 system-ui, sans-serif; color: #222; max-width: 62rem; margin: 3rem auto;
       padding: 0 1.2rem; }}
h1, h2 {{ line-height: 1.2; }}
h2 {{ margin-top: 3rem; border-top: 1px solid #ddd; padding-top: 1rem; }}
table {{ border-collapse: collapse; font-size: 14px; font-variant-numeric: tabular-nums;
        display: block; overflow-x: auto; }}
th, td {{ text-align: left; padding: .35rem .7rem; border-bottom: 1px solid #e5e5e5;
         vertical-align: top; }}
th {{ border-bottom: 2px solid #888; }}
img {{ max-width: 100%; margin: 1rem 0; }}
mark {{ background: none; color: #b00020; font-weight: 600; }}
ol {{ display: grid; grid-template-columns: repeat(auto-fill, minmax(min(100%, 24rem), 1fr));
     gap: 1.2rem 2.5rem; padding-left: 1.5rem; }}
li {{ overflow-wrap: anywhere; }} li img {{ display: block; margin: .4rem 0; }}
code {{ background: #f4f4f4; padding: 0 .2rem; }}
@media (max-width: 700px) {{ body {{ padding: 0 .8rem; }} table {{ font-size: 12px; }}
                            td, th {{ padding: .35rem .3rem; }} }}
</style>
{body}
</html>
"""
_NARROW = 700  # pixels of a window, below which figures have one column
_BAR = re.compile(r"(?<!\\)\|")
_KINDS = {".svg": "image/svg+xml", ".png": "image/png", ".jpg": "image/jpeg"}


def render_page(title: str, text: str, pictures: Mapping[str, bytes]) -> str:
    """Renders Markdown with its pictures inside.

    Args:
        title: of the window.
        text: Markdown with tables; ``![words](NAME)`` stands for a picture, and ``~~words~~`` for
            a warning.
        pictures: NAME, which ends in .svg, .png or .jpg -> the file's bytes. ``narrow-NAME``
            stands in its place on a phone.
    """

    def encode(name: str) -> str:
        kind = _KINDS[name[name.rindex(".") :]]
        return f"data:{kind};base64,{base64.b64encode(pictures[name]).decode()}"

    def show(self, tokens, index, options, env) -> str:
        name, words = tokens[index].attrs["src"], html_text(tokens[index].content)
        if name not in pictures:
            return words
        picture = f'<img src="{encode(name)}" alt="{words}">'
        if (narrow := f"narrow-{name}") not in pictures:
            return picture
        source = f'<source media="(max-width: {_NARROW}px)" srcset="{encode(narrow)}">'
        return f"<picture>{source}{picture}</picture>"

    # Neither links nor pictures from elsewhere, whatever a name in the text looks like.
    reader = MarkdownIt("commonmark", {"html": False}).enable(["table", "strikethrough"])
    reader.disable(["link", "autolink", "reference"])
    reader.add_render_rule("image", show)
    reader.add_render_rule("s_open", lambda *_: "<mark>")
    reader.add_render_rule("s_close", lambda *_: "</mark>")
    return _PAGE.format(title=html_text(title), body=reader.render(text))


def table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Makes a table of Markdown; a bar in a cell does not end it.

    Cells may hold Markdown, so names come through `markdown_text`.
    """
    lines = [[_BAR.sub(r"\|", text) for text in line] for line in (header, *rows)]
    lines.insert(1, ["---"] * len(header))
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)
