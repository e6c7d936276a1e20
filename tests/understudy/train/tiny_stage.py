"""Everything that the baseline's stage reads, as small as can be: random pairs of 32 px and an untrained judge."""

import io
import sys
import zipfile
from pathlib import Path
from typing import Literal

import numpy as np
import yaml
from PIL import Image

from understudy.arch import families as architecture
from understudy.arch.base import Arch, Norm
from understudy.arch.inception import inception
from understudy.data.checked import mark
from understudy.data.manifest import write_manifest
from understudy.files import write_json
from understudy.metrics.judge import save_judge
from understudy.metrics.segmenter import Segmenter
from understudy.models.discriminators import PatchDiscriminator
from understudy.stage import Job
from understudy.train.partners import Partners, save_partners


def arch(norm: Norm) -> Arch:
    return inception(4, 3, 4, norm, "zero", "onehot", 3, (32, 32))


ARCH = arch("batch")
COUNTS = {"train": 6, "val": 4, "test": 1}


def png(array: np.ndarray) -> bytes:
    stream = io.BytesIO()
    Image.fromarray(array).save(stream, "PNG")
    return stream.getvalue()


def command(root: Path) -> list[str]:
    """The stage, run on `root`."""
    return [sys.executable, "-m", "stages.baseline", "--root", str(root)]


def write_inputs(root: Path, norm: Literal["batch", "instance_affine"] = "batch") -> None:
    """Make `root`/artifacts as prepare, check, judge, teacher and prune would leave it. norm: of all networks."""
    made, random = root / "artifacts", np.random.default_rng(0)
    (made / "prepare").mkdir(parents=True)
    for split, count in COUNTS.items():
        with zipfile.ZipFile(made / "prepare" / f"{split}.zip", "w") as archive:
            for i in range(count):
                archive.writestr(f"photo/{i}.png", png(random.integers(0, 256, (32, 32, 3), np.uint8)))
                archive.writestr(f"input/{i}.png", png(random.integers(0, 3, (32, 32), np.uint8)))
    write_json(made / "prepare/dataset.json", {
        "schema": 2, "name": "tiny", "kind": "labels",
        "size": [32, 32], "classes": ["a", "b", "c"], "ignore": None, "licence": "CC0",
        "palette": [[255, 0, 0], [0, 255, 0], [0, 0, 255]], "counts": COUNTS})  # fmt: skip
    write_manifest(made / "prepare/manifest.csv", [])
    write_json(made / "check/result.json", {"data": mark(Job("baseline", root, {}))})
    save_judge(Segmenter(3, 4), made / "judge")
    architecture.save(arch(norm), made / "prune/arch.json")
    save_partners(Partners(PatchDiscriminator(6, 4, norm)), made / "teacher")


OBJECTIVE = {"family": "pix2pix", "cyclegan": {"lambda_cycle": 10.0, "lambda_identity": 0.5, "pool_size": 50},
             "gaugan": {"lambda_feature": 10.0, "perceptual": None}}  # fmt: skip


def write_params(root: Path, steps: int, **given: object) -> None:
    """`root`/params.yaml, with a checkpoint every 10 steps. given: entries of the schedule to set beyond that."""
    schedule = {"constant_steps": steps, "decay_steps": 0, "batch_size": 2, "learning_rate": 1.0e-3, "ema_decay": 0.9,
                "validate_every": 20, "checkpoint_every": 10, "processes": None, "micro_batch": None}  # fmt: skip
    schedule |= given
    student = {"lambda_gan": 1.0, "lambda_recon": 10.0, "schedule": schedule}
    values = {"base": {"seed": 0}, "runtime": {"device": "cpu", "precision": "fp32"}, "objective": OBJECTIVE,
              "student": student}  # fmt: skip
    (root / "params.yaml").write_text(yaml.safe_dump(values))
