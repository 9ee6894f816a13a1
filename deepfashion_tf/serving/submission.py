"""The file that the challenge's server takes."""

import zipfile
from pathlib import Path

from deepfashion_tf.evaluation.answers import Answers
from deepfashion_tf.files import whole_or_nothing, write_atomically

SUBMISSION = "prediction.txt"


def write_submission(answers: Answers, directory: Path) -> Path:
    """Writes ``prediction.txt`` and, alone in it, ``prediction.zip``.

    A row an image in the order of the split, which is that of ``test.txt``; in it a class id a
    category, counted from 0, in the order of the schema.

    Returns:
        The zip file.
    """
    rows = "".join(" ".join(map(str, row)) + "\n" for row in answers.answers.tolist())
    write_atomically(directory / SUBMISSION, rows)
    path = directory / "prediction.zip"
    with whole_or_nothing(path) as temporary:
        zip_submission(rows, temporary)
    return path


def zip_submission(rows: str, path: Path) -> None:
    """Writes a zip file with ``prediction.txt`` alone in it."""
    with zipfile.ZipFile(path, "w") as archive:
        # A date of its own would make another file of the same answers.
        entry = zipfile.ZipInfo(SUBMISSION, date_time=(1980, 1, 1, 0, 0, 0))
        archive.writestr(entry, rows, zipfile.ZIP_DEFLATED)
