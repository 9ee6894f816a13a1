"""The builder ``deepfashion_attributes`` of TensorFlow Datasets."""

import dataclasses
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import ClassVar

import tensorflow_datasets as tfds

from deepfashion_tf.data.deepfashion import find_annotations, read_split
from deepfashion_tf.data.inspection import inspect_images
from deepfashion_tf.errors import InputError
from deepfashion_tf.schema import builtin_schema

_SPLITS = {"train": "train", "val": "validation", "test": "test"}


@dataclasses.dataclass(kw_only=True)
class DeepFashionConfig(tfds.core.BuilderConfig):
    """Where the images of a configuration come from.

    Attributes:
        annotations: the folder of annotation files that tells the layout; None = drawn.
        sizes: images to draw in each split.
    """

    annotations: str | None = None
    sizes: tuple[int, int, int] = (3000, 400, 400)


class Builder(tfds.core.GeneratorBasedBuilder):
    """One image, its box, and a class label for each of the six categories."""

    VERSION = tfds.core.Version("1.0.0")
    RELEASE_NOTES: ClassVar = {"1.0.0": "First release."}
    BUILDER_CONFIGS: ClassVar = [
        DeepFashionConfig(
            name="challenge",
            description="The attribute prediction challenge's images (you bring them).",
            annotations="split",
        ),
        DeepFashionConfig(
            name="fine",
            description="The fine annotations of the original data set (you bring them).",
            annotations="Anno_fine",
        ),
        DeepFashionConfig(name="wardrobe", description="Drawings, made on your machine."),
    ]
    MANUAL_DOWNLOAD_INSTRUCTIONS = """
    DeepFashion is licensed for non-commercial research and cannot be downloaded by a program.
    Register at https://mmlab.ie.cuhk.edu.hk/projects/DeepFashion/AttributePrediction.html, and
    put into the folder named here: for the configuration "challenge" the folder FashionDataset
    with img/ and split/, for "fine" the folders img/ and Anno_fine/. "wardrobe" needs nothing.
    """

    def _info(self) -> tfds.core.DatasetInfo:
        labels = {
            category: tfds.features.ClassLabel(names=list(attributes))
            for category, attributes in builtin_schema().items()
        }
        return self.dataset_info_from_configs(
            features=tfds.features.FeaturesDict(
                {
                    "image": tfds.features.Image(shape=(None, None, 3)),
                    "box": tfds.features.BBoxFeature(),
                    **labels,
                }
            ),
            homepage="https://mmlab.ie.cuhk.edu.hk/projects/DeepFashion.html",
            license="DeepFashion: non-commercial research only. wardrobe: free to use.",
        )

    def _split_generators(self, dl_manager: tfds.download.DownloadManager) -> dict:
        config = self.builder_config
        if config.annotations is None:
            return {_SPLITS[name]: self._draw(name) for name in self._drawn()}
        folder = find_annotations(dl_manager.manual_dir)
        if folder.name != config.annotations:
            raise InputError(
                f"{folder} is the layout of another configuration than {config.name!r}, which "
                f"needs a folder {config.annotations}: put it into {dl_manager.manual_dir}."
            )
        found = [name for name in _SPLITS if (folder / f"{name}.txt").is_file()]
        return {_SPLITS[name]: self._generate_examples(folder, name) for name in found}

    def _drawn(self) -> list[str]:
        sizes = zip(_SPLITS, self.builder_config.sizes, strict=True)
        return [name for name, size in sizes if size]

    def _draw(self, name: str) -> Iterator[tuple[str, dict]]:
        """Draws one split; image i of it is the same whichever others are drawn."""
        sizes = zip(_SPLITS, self.builder_config.sizes, strict=True)
        only = [str(size if split == name else 0) for split, size in sizes]
        with tempfile.TemporaryDirectory() as folder:
            command = [sys.executable, "-m", "deepfashion_tf.data.wardrobe", f"{folder}/w", *only]
            subprocess.run([*command, "0"], check=True)
            yield from self._generate_examples(Path(folder) / "w", name)

    def _generate_examples(self, folder: Path, name: str) -> Iterator[tuple[str, dict]]:
        """Yields the images of a data set in one of DeepFashion's layouts."""
        split = read_split(folder, name)
        sizes = inspect_images(split.keys)
        for row, (path, (width, height)) in enumerate(zip(split.keys, sizes, strict=True)):
            x1, y1, x2, y2 = split.boxes[row].tolist()
            if x1 < 0:
                x1, y1, x2, y2 = 0, 0, width, height
            yield (
                f"{row:06d}",
                {
                    "image": path,
                    "box": tfds.features.BBox(
                        ymin=y1 / height, xmin=x1 / width, ymax=y2 / height, xmax=x2 / width
                    ),
                    **dict(zip(split.schema, split.labels[row].tolist(), strict=True)),
                },
            )
