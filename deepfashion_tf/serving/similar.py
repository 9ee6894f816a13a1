"""Similar photographs: features of a catalogue in Parquet, and the nearest ones to a picture."""

import contextlib
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

import numpy as np
import pyarrow as pa
import pyarrow.compute
import pyarrow.parquet
from PIL import Image, ImageDraw, ImageOps

from deepfashion_tf.data.split import WHOLE_IMAGE
from deepfashion_tf.errors import InputError, printable
from deepfashion_tf.escaping import encodable
from deepfashion_tf.files import is_file, whole_or_nothing
from deepfashion_tf.inference.batch import Batch
from deepfashion_tf.inference.embedding import embedder
from deepfashion_tf.inference.items import Item
from deepfashion_tf.inference.montage import font
from deepfashion_tf.inference.predictor import Predictor
from deepfashion_tf.runs.run import Run
from deepfashion_tf.usage import command

_MODEL = b"deepfashion_tf.model"  # key of the metadata: which model the features are of
_EXACT = 50_000  # rows up to which all are compared
_TILE, _GAP, _LINE = 200, 10, 18


@dataclass(frozen=True)
class Neighbour:
    """A photograph of the table.

    Attributes:
        image: its name.
        path: its file; None = it has none.
        box: x1, y1, x2, y2 in half-open pixels; None = the whole image.
        similarity: cosine of the features, -1 to 1.
    """

    image: str
    path: str | None
    box: tuple[int, int, int, int] | None
    similarity: float


class EmbeddingsWriter:
    """Writes the features of each image as float16 into a Parquet file.

    Columns: image, path, box (x1, y1, x2, y2 or null) and features. Use it as a context; the file
    appears when the block ends.

    Args:
        run: whose model computes them.
        path: of the file, ending in .parquet.

    Raises:
        InputError: another ending, or the run has no single model.
    """

    def __init__(self, run: Run, path: Path) -> None:
        if path.suffix != ".parquet":
            raise InputError(f"--embed {path} must end in .parquet.")
        self._embed, self._path, self._digest = embedder(run), path, _digest(run)
        self._stack, self._writer = contextlib.ExitStack(), None

    def __enter__(self) -> "EmbeddingsWriter":
        self._temporary = self._stack.enter_context(whole_or_nothing(self._path))
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._writer is not None:
            self._writer.close()
        self._stack.__exit__(kind, error, trace)

    def write(self, batch: Batch) -> None:
        """Takes a batch."""
        if not len(batch.crops):
            return
        features = self._embed(batch.crops).astype(np.float16)
        schema = _columns(features.shape[1]).with_metadata({_MODEL: self._digest})
        if self._writer is None:
            self._writer = pa.parquet.ParquetWriter(self._temporary, schema)
        items = batch.answered
        columns = [
            pa.array([encodable(item.image) for item in items]),
            pa.array([_place(item) for item in items], pa.string()),
            pa.array([_box(item) for item in items], schema[2].type),
            pa.FixedSizeListArray.from_arrays(pa.array(features.ravel()), features.shape[1]),
        ]
        self._writer.write_batch(pa.record_batch(columns, schema=schema))


def find_similar(
    run: Run, table: Path, items: Sequence[Item], top: int
) -> list[list[Neighbour] | str]:
    """Finds the photographs of a table whose features are nearest to those of some images.

    Args:
        run: that the table's features were computed with.
        table: what `EmbeddingsWriter` wrote.
        items: the images.
        top: how many for each.

    Returns:
        For each image its neighbours, the nearest first; or why it cannot be read.

    Raises:
        InputError: the table is missing, broken or of another model; usearch is not installed.
    """
    try:
        from usearch.index import Index
    except ImportError as error:
        raise InputError(
            "Finding similar photographs needs usearch: pip install 'deepfashion_tf[similar]'."
        ) from error
    rows, features = _read(table, _digest(run))
    index = Index(ndim=features.shape[1], metric="cos", dtype="f16")
    index.add(np.arange(len(features)), features)
    model = run.load_model()
    predictor, embed = Predictor.of_run(run, model), embedder(run, model)
    found: list[list[Neighbour] | str] = []
    for crop in predictor.crops(items):
        if isinstance(crop, str):
            found.append(crop)
            continue
        query = embed(crop[None])[0]
        if len(query) != features.shape[1]:
            raise InputError(
                f"{table} cannot be read as a table of features (it has features of "
                f"{features.shape[1]} numbers, and the run {len(query)}): make it with "
                f"{command('predict')} --embed."
            )
        matches = index.search(query, min(top, len(features)), exact=len(features) <= _EXACT)
        found.append([_neighbour(rows, int(m.key), 1.0 - float(m.distance)) for m in matches])
    return found


def draw_sheet(queries: Sequence[tuple[Item, Sequence[Neighbour]]]) -> Image.Image:
    """Draws each image and, to its right, its neighbours with their similarity."""
    columns = 1 + max(len(found) for _, found in queries)
    step = _TILE + _GAP
    size = columns * step + _GAP, len(queries) * (step + _LINE) + _GAP
    sheet = Image.new("RGB", size, "white")
    pen = ImageDraw.Draw(sheet)
    for row, (item, found) in enumerate(queries):
        tiles = [(item.path, _box(item), "your picture")]
        tiles += [(each.path, each.box, f"{each.similarity:.2f}") for each in found]
        for column, (path, place, text) in enumerate(tiles):
            x, y = _GAP + column * step, _GAP + row * (step + _LINE)
            pen.text((x, y), text, fill="black", font=font("bold" if not column else "normal"))
            sheet.paste(_thumbnail(path, place), (x, y + _LINE))
    return sheet


def _thumbnail(path: str | None, box: tuple[int, int, int, int] | None) -> Image.Image:
    """Returns the crop on a square tile; grey where there is no file that Pillow reads."""
    tile = Image.new("RGB", (_TILE, _TILE), "#dddddd")
    try:
        if path is None or not is_file(path):  # a pipe would wait for its writer
            return tile
        with Image.open(path) as file:
            image = ImageOps.exif_transpose(file).convert("RGB")
            image = ImageOps.contain(image.crop(box) if box else image, tile.size)
    # Files change after a table is made, and decoders raise what they like on broken ones.
    except Exception:
        return tile
    tile.paste(image, ((_TILE - image.width) // 2, (_TILE - image.height) // 2))
    return tile


def _columns(width: int) -> pa.Schema:
    """Returns the columns of a table of features of some width."""
    return pa.schema(
        [
            ("image", pa.string()),
            ("path", pa.string()),
            ("box", pa.list_(pa.int32())),
            ("features", pa.list_(pa.float16(), width)),
        ]
    )


def _read(table: Path, digest: bytes) -> tuple[pa.Table, np.ndarray]:
    """Returns the rows of a table, and their features, float32 ``[rows, width]``."""
    again = f"make it with {command('predict')} --embed"
    try:
        rows = pa.parquet.read_table(table)
        known = (rows.schema.metadata or {}).get(_MODEL)
        rows = rows.select(["image", "path", "box", "features"])
    except (OSError, pa.ArrowInvalid, KeyError) as error:
        reason = " ".join(str(error).split())[:200]
        raise InputError(
            f"{table} cannot be read as a table of features ({printable(reason)}): {again}."
        ) from error
    if known != digest:
        raise InputError(
            f"{table} holds features of another model: make it again with this run and "
            f"{command('predict')} --embed."
        )
    features = _features(rows)
    if isinstance(features, str):
        raise InputError(f"{table} cannot be read as a table of features ({features}): {again}.")
    return rows, features


def _features(rows: pa.Table) -> np.ndarray | str:
    """Returns the features of a table, or why it is none that `EmbeddingsWriter` wrote."""
    kind = rows.schema.field("features").type
    width = kind.list_size if pa.types.is_fixed_size_list(kind) else 1
    if not rows.schema.equals(_columns(width)):
        return "its columns are of other types"
    if not len(rows):
        return "it has no row"
    lengths = pa.compute.list_value_length(rows["box"]).drop_null()
    if not pa.compute.all(pa.compute.equal(lengths, 4), min_count=0).as_py():
        return "a box has not four numbers"
    if any(rows[name].null_count for name in ("image", "features")):
        return "an image or its features are missing"
    found = np.stack(rows["features"].to_numpy(zero_copy_only=False)).astype(np.float32)
    return found if np.isfinite(found).all() else "features are NaN or infinite"


def _neighbour(rows: pa.Table, row: int, similarity: float) -> Neighbour:
    values = {name: rows[name][row].as_py() for name in ("image", "path", "box")}
    box = values["box"]
    return Neighbour(values["image"], values["path"], tuple(box) if box else None, similarity)


def _box(item: Item) -> tuple[int, int, int, int] | None:
    return None if item.box == WHOLE_IMAGE else item.box


def _place(item: Item) -> str | None:
    return None if item.path is None else encodable(str(Path(item.path).absolute()))


def _digest(run: Run) -> bytes:
    return hashlib.sha256(run.model_path.read_bytes()).hexdigest().encode()
