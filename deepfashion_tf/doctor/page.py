"""The doctor's page: balance, counts, and what was found, in one HTML file."""

import io

import cv2
import matplotlib.pyplot as plt
import numpy as np
from matplotlib.figure import Figure

from deepfashion_tf.colours import colours
from deepfashion_tf.data.headers import image_size
from deepfashion_tf.data.plain import decode_any
from deepfashion_tf.data.split import WHOLE_IMAGE, Split
from deepfashion_tf.doctor.examination import Examined, describe, notes
from deepfashion_tf.doctor.findings import KINDS, Finding, Rows, conflicts, count_labels
from deepfashion_tf.doctor.noise import Doubted
from deepfashion_tf.errors import printable
from deepfashion_tf.escaping import figure_text, markdown_text
from deepfashion_tf.page import render_page, table

_LISTED = 50  # findings of a kind that are told in words
_DRAWN = 12  # and in pictures
_BESIDE = 6  # pictures in a line, and of one finding
_HEIGHT = 160  # of a picture, in pixels


def render(examined: Examined, doubted: Doubted | None = None) -> str:
    """Makes the page.

    Args:
        examined: the data set.
        doubted: which labels to look at.
    """
    rows = examined.rows
    pictures = {"balance.svg": _encode(plot_balance(rows), "svg")}
    counts = ", ".join(f"{len(split):,} {split.name}" for split in rows.splits)
    text = [f"# {markdown_text(examined.name)}", f"{counts} images."]
    text.append(_verdict(examined))
    text += [f"- {markdown_text(note)}" for note in notes(examined)]
    for kind, about in KINDS.items():
        found = examined.of_kind(kind)
        if not found:
            continue
        text.append(
            f"\n## {len(found):,} {about.title}\n\n{about.advice[0].upper()}{about.advice[1:]}.\n"
        )
        drawn = [finding for finding in found if finding.kind != "unreadable"][:_DRAWN]
        if drawn:
            pictures[f"{kind.replace(' ', '-')}.jpg"] = _encode(_gallery(rows, drawn), "jpg")
            text.append(f"![{about.title}]({kind.replace(' ', '-')}.jpg)\n")
        listed = [[markdown_text(describe(rows, finding))] for finding in found[:_LISTED]]
        text.append(table(["what"], listed))
        if len(found) > _LISTED:
            text.append(f"\n… and {len(found) - _LISTED:,} more.")
    if doubted:
        text.append(_doubts(doubted))
        pictures["doubts.jpg"] = _encode(_plot_doubts(doubted), "jpg")
    text.append("\n## Labels\n\n![Shares of the attributes](balance.svg)\n")
    text.append(_counts(rows))
    return render_page(f"{examined.name}: data", "\n".join(text) + "\n", pictures)


def _verdict(examined: Examined) -> str:
    if examined.is_spoilt:
        titles = [
            f"{len(examined.of_kind(kind)):,} {about.title}"
            for kind, about in KINDS.items()
            if about.spoils and examined.of_kind(kind)
        ]
        return f"\n**Mend this before you train:** {'; '.join(titles)}.\n"
    if examined.findings:
        return "\nNothing was found that spoils training or scores; look at what follows.\n"
    return "\nNothing is wrong with the images, the boxes or the splits.\n"


def plot_balance(rows: Rows) -> Figure:
    """Draws each attribute's share of its category's labels, a bar a split."""
    palette = colours(list(rows.schema))
    names = [(category, a) for category, values in rows.schema.items() for a in values]
    figure, axis = plt.subplots(figsize=(9, 0.9 + 0.25 * len(names)), layout="constrained")
    height = 0.8 / len(rows.splits)
    for number, split in enumerate(rows.splits):
        shares = []
        for category in rows.schema:
            counts = count_labels(rows, category)[number, :-1]
            shares += (counts / max(1, counts.sum())).tolist()
        places = np.arange(len(names)) - 0.4 + height * (number + 0.5)
        # Training is full colour, what is scored is paler.
        axis.barh(
            places,
            shares,
            height,
            color=[palette[category] for category, _ in names],
            alpha=(1.0, 0.6, 0.35)[number],
            label=split.name,
        )
    axis.set_yticks(range(len(names)), [figure_text(attribute) for _, attribute in names])
    for tick, (category, _) in zip(axis.get_yticklabels(), names, strict=True):
        tick.set_color(palette[category])
    axis.invert_yaxis()
    axis.margins(y=0.01)
    axis.set_xlabel("share of the category's labels")
    axis.spines[["top", "right"]].set_visible(False)
    if len(rows.splits) > 1:
        legend = axis.legend(frameon=False)
        for handle in legend.legend_handles:
            handle.set_color("0.3")
    return figure


def _gallery(rows: Rows, findings: list[Finding]) -> Figure:
    """Draws the images of findings with their boxes; those of one finding have one colour."""
    lines: list[list[tuple[Finding, int]]] = [[]]
    for finding in findings:
        members = [(finding, row) for row in finding.rows[:_BESIDE]]
        if len(lines[-1]) + len(members) > _BESIDE:
            lines.append([])
        lines[-1] += members
    wide = max(map(len, lines))
    figure, axes = plt.subplots(
        len(lines),
        wide,
        figsize=(1.7 * wide + 0.2, 2.15 * len(lines)),
        layout="constrained",
        squeeze=False,
    )
    for axis in axes.flat:
        axis.axis("off")
    for line, members in zip(axes, lines, strict=True):
        for axis, (finding, row) in zip(line, members, strict=False):
            axis.imshow(_picture(*rows.place(row)))
            colour = ("black", "tab:blue")[findings.index(finding) % 2]
            axis.set_title(_caption(rows, finding, row), size=7, color=colour)
    return figure


def _doubts(doubted: Doubted) -> str:
    lines = [
        [markdown_text(category), f"{found.share:.1%}", f"{found.low:.1%} to {found.high:.1%}"]
        for category, found in doubted.noise.items()
    ]
    estimates = table(["category", "labels that are wrong, estimated", "95 % interval"], lines)
    return (
        f"\n## Labels to look at\n\nWhat models that had not seen them make of the labels "
        f"(confident learning). A model that errs is no proof: in a category that it answers "
        f"badly, the estimate is of its own errors, too.\n\n{estimates}\n\nThe least believed: "
        f"the label, the probability that it is given, and the prediction.\n\n"
        f"![The least believed labels](doubts.jpg)\n"
    )


def _plot_doubts(doubted: Doubted) -> Figure:
    shown = doubted.doubts[: 4 * _BESIDE]
    lines = max(1, -(-len(shown) // _BESIDE))
    figure, axes = plt.subplots(
        lines,
        _BESIDE,
        figsize=(1.7 * _BESIDE, 2.16 * lines),
        layout="constrained",
        squeeze=False,
    )
    for axis in axes.flat:
        axis.axis("off")
    for axis, doubt in zip(axes.flat, shown, strict=False):
        axis.imshow(_picture(doubted.images, doubt.row))
        label, answer = figure_text(doubt.label), figure_text(doubt.answer)
        axis.set_title(f"{label}?\n{doubt.belief:.3f}\n{answer}", size=7)
    return figure


def _caption(rows: Rows, finding: Finding, row: int) -> str:
    name = printable(rows.key(row)).rsplit("/", 1)[-1][-22:]
    lines = [figure_text(name), rows.split_name(row)]
    if finding.kind == "conflict":
        lines += [
            figure_text(rows.attribute(row, c)) for c in conflicts(rows, np.array(finding.rows))
        ]
    return "\n".join(lines)


def _picture(split: Split, row: int) -> np.ndarray:
    encoded = split.encoded(row)
    pixels = decode_any(encoded)
    scale = _HEIGHT / pixels.shape[0]
    size = max(1, round(pixels.shape[1] * scale)), _HEIGHT
    small = cv2.resize(pixels, size, interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC)
    box = split.boxes[row]
    if box[0] != WHOLE_IMAGE[0]:
        # A huge JPEG is decoded smaller than its box counts.
        scale = _HEIGHT / image_size(encoded)[1]
        x1, y1, x2, y2 = (round(float(value) * scale) for value in box)
        cv2.rectangle(small, (x1, y1), (x2 - 1, y2 - 1), (230, 60, 60), 1)
    return small


def _counts(rows: Rows) -> str:
    lines = []
    for category, attributes in rows.schema.items():
        counts = count_labels(rows, category)
        for number, attribute in enumerate([*attributes, "not labelled"]):
            lines.append(
                [
                    markdown_text(category) if number == 0 else "",
                    markdown_text(attribute),
                    *(f"{n:,}" for n in counts[:, number]),
                ]
            )
    return table(["category", "attribute", *(split.name for split in rows.splits)], lines)


def _encode(figure: Figure, kind: str) -> bytes:
    buffer = io.BytesIO()
    options = {"pil_kwargs": {"quality": 82}} if kind == "jpg" else {}
    figure.savefig(buffer, format=kind, dpi=110, **options)
    plt.close(figure)
    return buffer.getvalue()
