"""What the page shows beside the student: its teacher, where it is at hand, and inputs to try.

A teacher is shown only as what it is: the one that the student's own verdict names. Both are timed the same way, and by
the same runtime where that can be.
"""

import statistics
import tempfile
import time
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from understudy.data.prepared import load_info, show_inputs
from understudy.data.terms import INPUT_TITLES, PHOTO_TITLES
from understudy.errors import UserError
from understudy.files import read_json, sha256
from understudy.gate import DATASET, STUDENT, TEST_SPLIT
from understudy.grid import spread
from understudy.serve.network import Network, open_network
from understudy.serve.sources import Found
from understudy.serve.uploads import Inputs
from understudy.verdict import PATH as VERDICT

TEACHER = ("artifacts/teacher/arch.json", "artifacts/teacher/weights.safetensors")
PASSES, ENOUGH = 5, 0.3  # of a timing: at most so many, and no more once they have taken so many seconds


@dataclass(frozen=True)
class Sample:
    """An input [H, W, ...] that comes with the server. photo: the real one [H, W, 3], of pairs."""

    name: str
    inputs: Inputs
    photo: Inputs | None = None


@dataclass(frozen=True)
class Comparison:
    """teacher: None where it cannot be shown; absent says why. samples: by name."""

    teacher: Network | None
    absent: str
    samples: Mapping[str, Sample]
    teacher_sha256: str = ""


def comparison(root: Path, found: Found, student: Network, before: Comparison | None) -> Comparison:
    """What there is in `root` to compare a loaded student with. before: whose teacher is kept if it is the same."""
    ours = root / DATASET
    if not _same_file(ours, found.files["dataset"]):
        why = f"{ours} is of another data set" if ours.is_file() else f"no run is at hand ({ours} is not there)"
        return Comparison(None, why, _stripes(student))
    samples = _samples(root, student)
    try:
        digest = _require_own_teacher(root, found)
        known = before.teacher if before and before.teacher_sha256 == digest else None
        return Comparison(known or _open_teacher(root, student), "", samples, digest)
    except UserError as error:
        return Comparison(None, str(error), samples)


def _require_own_teacher(root: Path, found: Found) -> str:
    """SHA-256 of its weights. Raises UserError with the reason when it is not there, or not the student's own."""
    if found.model == "teacher":
        raise UserError("it is the teacher itself that is served")
    named = _judged(root, found)
    for path in TEACHER:
        if not (root / path).is_file():
            raise UserError(f"{root / path} is not there")
        if sha256(root / path) != named.get(path):
            raise UserError(f"{root / path} is not the teacher that the student was judged by")
    return named[TEACHER[1]]


def _open_teacher(root: Path, student: Network) -> Network:
    files = {"arch": root / TEACHER[0], "weights": root / TEACHER[1], "dataset": root / DATASET}
    if student.runtime == "torch":
        return open_network(files, "torch", student.threads)
    try:
        with tempfile.TemporaryDirectory() as folder:
            return open_network({**files, "onnx": _exported(files, Path(folder))}, "onnx", student.threads)
    except ImportError:  # onnx and its exporter, which serving needs for nothing else
        return open_network(files, "torch", student.threads)


def _judged(root: Path, found: Found) -> Mapping[str, str]:
    """The files of the verdict on this student, by path under ROOT: its own, or the run's where that is about it."""
    for path in (found.files.get("verdict"), root / VERDICT):
        if path is None or not path.is_file():
            continue
        value: Any = read_json(path)
        files = value.get("files") if isinstance(value, dict) else None
        if isinstance(files, dict) and files.get(STUDENT[1]) == sha256(found.files["weights"]):
            return files
    raise UserError(f"neither the version nor {root} has a verdict on this student, which would name its teacher")


def _exported(files: Mapping[str, Path], folder: Path) -> Path:
    from understudy.export.network import write_onnx
    from understudy.weights import load_generator

    arch, net = load_generator(files["arch"], files["weights"])
    write_onnx(net.eval(), arch, load_info(files["dataset"]), sha256(files["weights"]), folder / "teacher.onnx")
    return folder / "teacher.onnx"


def _samples(root: Path, student: Network) -> Mapping[str, Sample]:
    """Some inputs of the test split; stripes where it cannot be read."""
    try:
        with zipfile.ZipFile(root / TEST_SPLIT) as archive:
            entries = sorted(entry for entry in archive.namelist() if entry.startswith("input/"))
            chosen = [entries[index] for index in spread(len(entries)).tolist()]
            paired = student.info.kind != "unpaired"
            samples = [
                Sample(Path(entry).stem, _decode(archive, entry),
                       _decode(archive, entry.replace("input/", "photo/", 1)) if paired else None)
                for entry in chosen
            ]  # fmt: skip
    except (OSError, KeyError, ValueError, RuntimeError, zipfile.BadZipFile):
        return _stripes(student)
    planes = student.info.planes
    fitting = {sample.name: sample for sample in samples if sample.inputs.shape[2:] == planes}
    return fitting or _stripes(student)


def _decode(archive: zipfile.ZipFile, entry: str) -> Inputs:
    return np.asarray(Image.open(BytesIO(archive.read(entry))))


def _stripes(student: Network) -> Mapping[str, Sample]:
    return {"stripes": Sample("stripes", student.inputs(1)[0])}


def _same_file(one: Path, other: Path) -> bool:
    return one.is_file() and sha256(one) == sha256(other)


def shown(inputs: Inputs, network: Network) -> Inputs:
    """An input [H, W, ...] as a picture uint8 [H, W, 3]: label maps in the palette's colours."""
    batch = torch.from_numpy(inputs.copy())[None]  # [1, H, W, ...]
    if batch.dim() == 4:
        batch = batch.permute(0, 3, 1, 2)  # [1, H, W, C] -> [1, C, H, W]
    return np.ascontiguousarray(show_inputs(batch, network.info)[0].permute(1, 2, 0).numpy())


def titles(network: Network) -> tuple[str, str]:
    """Over the input, and over the real photo of a sample."""
    return INPUT_TITLES[network.info.kind], PHOTO_TITLES[network.info.kind]


def timed(network: Network, inputs: Inputs) -> tuple[Inputs, float, int]:
    """The photo [H, W, 3] of one input [H, W, ...]; the median of some passes in milliseconds, and how many they were.

    The first pass is not counted where there is time for another: it sets up what the next ones of this size find.
    """
    taken: list[float] = []
    while len(taken) <= PASSES and sum(taken) < ENOUGH:
        began = time.perf_counter()
        photo = network.translate(inputs[None])[0]
        taken.append(time.perf_counter() - began)
    counted = taken[1:] or taken
    return photo, 1000 * statistics.median(counted), len(counted)
