"""export: the student as ONNX files, measured before anyone may ship them.

Makes    artifacts/export/: student.onnx and student-int8.onnx (as export.formats asks), inputs in and photos out,
         and export.json (parity with the student, every metric of each file, with intervals); and
         .understudy/export/latency.json, which is no output of the graph: it belongs to a machine and a moment
Reads    artifacts/prepare, artifacts/judge, artifacts/{teacher,distill}, and artifacts/evaluate, whose scores the
         files' are compared with: that is why it comes after evaluate; params base, runtime, evaluate, export; and what
         evaluate reads besides, where evaluate.inception or evaluate.segmentation names a network
Run      dvc repro export, or python -m stages.export [--params FILE] [--root DIR] [--dry-run]
Takes    half a minute to a minute for two formats and 1,000 test images of 64 px on one CPU core; with Inception about
         three minutes more for each format (docs/metrics.md)
Expect   student.onnx within 2 of 255 levels of the student, or the stage fails; int8 faster and smaller than it
The only stage that needs onnx and onnxscript; with export.formats: [] it needs them neither.
"""

import contextlib
import functools
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from understudy.arch.base import Arch
from understudy.data.prepared import DatasetInfo, load_info, load_split, show_inputs, windows
from understudy.errors import UserError
from understudy.export.record import FILES, SCHEMA
from understudy.files import read_json, sha256, write_json
from understudy.measure import latency_ms
from understudy.metrics.collapse import find_collapse
from understudy.metrics.jury import Jury
from understudy.metrics.resamples import load_estimates
from understudy.metrics.score import Estimate, differences, plain
from understudy.models.generator import Generator
from understudy.params.base import Base
from understudy.params.evaluate import Evaluate
from understudy.params.export import Export
from understudy.params.runtime import Runtime
from understudy.runtime import device, seed_everything, threads
from understudy.stage import Job, Plan, main
from understudy.train.validation import translate
from understudy.translator import Translator
from understudy.weights import load_generator

if TYPE_CHECKING:
    from understudy.export.session import OnnxTranslator

READS = (Base, Runtime, Evaluate, Export)
TOOLS = ("onnx", "onnxscript", "onnxruntime")
# Of the student's costs, those that another file of the same network shares; what a runtime keeps in memory is its own.
SHARED = ("macs_true_g", "macs_legacy_g", "params_m")
WEIGHTS = {"student": "distill/weights.safetensors", "teacher": "teacher/weights.safetensors"}  # as evaluated


@dataclass(frozen=True)
class Scene:
    """The student, the teacher that it is compared with, and who scores both.

    evaluation: the content of evaluation.json; estimates: what it rests on.
    """

    info: DatasetInfo
    arch: Arch
    net: Generator
    teacher: tuple[Arch, Generator]
    jury: Jury
    device: torch.device
    evaluation: Mapping[str, Any]
    estimates: Mapping[str, Mapping[str, Estimate]]


def scene(job: Job) -> Scene:
    """Everything loaded. Raises UserError for what is missing, damaged, or not what was evaluated."""
    seed_everything(job.params(Base).seed)
    place = device(job.params(Runtime))
    info = load_info(job.input("prepare/dataset.json"))
    arch_path = job.input("distill/arch.json")
    arch, net = load_generator(arch_path, job.input(WEIGHTS["student"]))
    info.require_fit(arch.input_channels, arch.encoding, arch_path)
    teacher_arch, teacher = load_generator(job.input("teacher/arch.json"), job.input(WEIGHTS["teacher"]))
    path = job.input("evaluate/evaluation.json")
    evaluation = read_json(path)
    try:
        for name, weights in WEIGHTS.items():
            if evaluation["files"][f"artifacts/{weights}"] != sha256(job.input(weights)):
                raise UserError(f"{path}: is of another {name}; run `dvc repro evaluate`")
        estimates = load_estimates(evaluation["models"], job.input("evaluate/resamples.safetensors"))
    except (KeyError, TypeError) as error:
        raise UserError(f"{path}: not what evaluate writes ({error!r}); run `dvc repro evaluate`") from None
    compared = (teacher_arch, teacher.to(place).eval())
    return Scene(info, arch, net.eval(), compared, jury(job), place, evaluation, estimates)


@functools.cache  # the plan and the run of one job look at the same one
def jury(job: Job) -> Jury:
    """Those who score. Raises UserError when one of them is missing, damaged, or of data with other classes."""
    info, folder = load_info(job.input("prepare/dataset.json")), job.input("judge/judge.json").parent
    return Jury(folder, job.params(Evaluate), job.params(Base).seed, info, device(job.params(Runtime)))


def plan(job: Job) -> Plan:
    formats = job.params(Export).formats
    if not formats:
        return {"files": "none (export.formats)"}
    if missing := [name for name in TOOLS if find_spec(name) is None]:
        raise UserError(f"export.formats: needs {', '.join(missing)}, which is not installed; "
                        "`pip install understudy[export]`, or set export.formats: []")  # fmt: skip
    info = load_info(job.input("prepare/dataset.json"))
    seconds = 10 + 0.03 * info.counts["test"]
    named = jury(job).named_seconds(len(formats), real=False)
    return {
        "files": ", ".join(FILES[name] for name in formats),
        "calibration images": min(job.params(Export).calibration_images, info.counts["train"]),
        "test images": info.count_text("test"),
        "device": f"cpu, {threads()} threads",
        "expected time": f"{seconds:.0f} s at 64 px on one CPU core"
        + (f", and {named:.0f} s for the networks that evaluate names (just timed)" if named else ""),
    }


def run(job: Job) -> None:
    for name in FILES.values():  # of an earlier run, which may have been asked for more
        (job.root / name).unlink(missing_ok=True)
    formats = job.params(Export).formats
    record: dict[str, Any] = {
        "schema": SCHEMA,
        "evaluation_sha256": sha256(job.input("evaluate/evaluation.json")),
        "models": {}, "differences": {}, "collapse": {}, "parity": {}, "int8": None, "files": {},
    }  # fmt: skip
    if formats:
        record |= _exported(job, scene(job))
    write_json(job.output("export/export.json"), record)


def _exported(job: Job, ready: Scene) -> dict[str, Any]:
    """The files written, compared and measured: what the record says of them."""
    # Here, since a root without exports has to do without these packages.
    from understudy.export.int8 import int8_share
    from understudy.export.parity import compare, require_same
    from understudy.export.session import OnnxTranslator

    paths = _write(job, ready)
    own = Translator(ready.net, ready.arch.encoding, ready.info)
    translators = {name: OnnxTranslator(path, threads()) for name, path in paths.items()}
    pairs = load_split(job.input("prepare/test.zip"), ready.info)
    inputs = as_files(pairs.inputs)
    expected = own(inputs)
    photos = {name: translator(inputs) for name, translator in translators.items()}
    parity = {name: compare(found, expected) for name, found in photos.items()}
    require_same(parity["onnx"], paths["onnx"])
    for name, found in parity.items():
        print(f"export: {name}: up to {found.most} of 255 levels from the student, {found.mean:.3g} on average, "
              f"{found.share:.1%} of the values differ", flush=True)  # fmt: skip
    share = int8_share(paths["int8"], ready.arch) if "int8" in paths else None
    if share:
        print(f"export: int8: {share.convolutions} of {share.total} convolutions, {share.macs:.1%} of the MACs")
    # [N, H, W, 3] -> [N, 3, H, W]
    images = {name: torch.from_numpy(found).permute(0, 3, 1, 2).contiguous() for name, found in photos.items()}
    arch, net = ready.teacher
    teacher = translate(net, pairs.inputs, arch.encoding, ready.info, ready.device, contextlib.nullcontext)
    scores = {name: score.metrics for name, score in ready.jury.score(images, pairs, job.root, teacher).items()}
    student = ready.evaluation["models"]["student"]
    shown = show_inputs(pairs.inputs, ready.info)
    _time(job, own, translators, inputs[:1])
    return {
        "models": {
            name: {
                **plain(scores[name]),
                **{metric: student[metric] for metric in SHARED},
                "file_mb": {"value": path.stat().st_size / 1e6},
            }
            for name, path in paths.items()
        },
        "differences": {
            f"{name}_minus_{other}": plain(differences(scores[name], estimates))
            for name in paths
            for other, estimates in ready.estimates.items()
        },
        "collapse": {
            name: find_collapse(found, shown, pairs.photos, ready.info.kind) for name, found in images.items()
        },
        "parity": {name: found.plain() for name, found in parity.items()},
        "int8": share and asdict(share),
        "files": {FILES[name]: sha256(path) for name, path in paths.items()},
    }


def _write(job: Job, ready: Scene) -> dict[str, Path]:
    """Make the files that were asked for, by format: onnx first, which int8 is made from."""
    from understudy.export.int8 import write_int8
    from understudy.export.network import write_onnx

    paths: dict[str, Path] = {
        name: job.root / file for name, file in FILES.items() if name in job.params(Export).formats
    }
    digest = sha256(job.input("distill/weights.safetensors"))
    write_onnx(ready.net, ready.arch, ready.info, digest, paths["onnx"])
    if "int8" in paths:
        write_int8(paths["onnx"], calibration(job, ready.info), paths["int8"])
    return paths


def calibration(job: Job, info: DatasetInfo) -> np.ndarray:
    """Inputs of the training split to calibrate with, chosen by the seed: uint8 [N, H, W, ...], as `as_files`."""
    inputs, seed = load_split(job.input("prepare/train.zip"), info).inputs, job.params(Base).seed
    order = torch.randperm(len(inputs), generator=torch.Generator().manual_seed(seed))
    return as_files(windows(inputs[order[: job.params(Export).calibration_images]], info.size, seed, step=0))


def as_files(inputs: Tensor) -> np.ndarray:
    """A split's inputs as a finished student takes them: uint8 [N, H, W] as they are, [N, C, H, W] -> [N, H, W, C]."""
    return (inputs if inputs.dim() == 3 else inputs.permute(0, 2, 3, 1).contiguous()).numpy()


def _time(job: Job, own: Translator, translators: Mapping[str, "OnnxTranslator"], one: np.ndarray) -> None:
    """Latency from one input, uint8 [1, H, W, ...], to its photo: torch's and the files' in one run."""
    runs = job.params(Evaluate).latency_runs
    times: dict[str, Any] = {"student": latency_ms(own, one, runs)}
    times |= {name: latency_ms(translator, one, runs) for name, translator in translators.items()}
    files = {FILES[name]: sha256(job.root / FILES[name]) for name in translators}
    write_json(job.scratch / "latency.json", {"threads": threads(), "device": "cpu", "models": times, "files": files})


if __name__ == "__main__":
    main("export", READS, plan, run)
