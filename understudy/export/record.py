"""export.json: which files were exported, of which evaluation, and how good each is. Pure, for the gate to read.

It is built like evaluation.json, with an exported file in the student's place: `models` and `collapse` by format,
`differences` as `FORMAT_minus_MODEL`.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from understudy.errors import DATA_FAILED, UserError
from understudy.files import read_json, sha256

SCHEMA = 1
RECORD = "artifacts/export/export.json"  # under ROOT
FILES = {"onnx": "artifacts/export/student.onnx", "int8": "artifacts/export/student-int8.onnx"}  # by format
LATENCY = ".understudy/export/latency.json"


def read_record(root: Path, evaluation_sha256: str) -> Mapping[str, Any]:
    """export.json, or an empty mapping where nothing was exported.

    evaluation_sha256: of the evaluation at hand. Raises UserError with code DATA_FAILED when the record is damaged or
    of another evaluation, or when a file that it speaks of is missing or another.
    """
    path = root / RECORD
    if not path.exists():
        return {}
    try:
        record = read_json(path)
    except UserError as error:
        raise UserError(f"{error}; `dvc repro export` makes it", DATA_FAILED) from None
    shaped = isinstance(record, dict) and record.get("schema") == SCHEMA
    if not shaped or not all(isinstance(record.get(key), dict) for key in ("models", "files", "collapse")):
        raise UserError(f"{path}: not a record of schema {SCHEMA}; run `dvc repro export`", DATA_FAILED)
    if record.get("evaluation_sha256") != evaluation_sha256:
        raise UserError(f"{path}: is about another evaluation; run `dvc repro export`", DATA_FAILED)
    for name in record["models"]:
        file = FILES.get(name)
        if file is None or _sha256(root / file) != record["files"].get(file):
            raise UserError(
                f"{root / (file or name)}: missing, or not the file that was measured; run `dvc repro export`",
                DATA_FAILED,
            )
    return record


def _sha256(path: Path) -> str | None:
    """Of a file that may be missing."""
    return sha256(path) if path.is_file() else None
