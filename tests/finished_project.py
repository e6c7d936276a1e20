"""A repository with a finished run in it, a git remote and a DVC remote, made in seconds: no stage but the gate runs.

The outputs are a few bytes each and the metrics invented; the files of git and DVC, the policy, the gate's verdict and
its hashes are real. What a real run is, tests/stages/test_pipeline.py shows.
"""

import shutil
from collections.abc import Iterator
from contextlib import chdir, contextmanager
from pathlib import Path
from typing import Any

import yaml
from dvc.repo import Repo
from own_repository import commit, copy_files, done

from understudy.export.record import FILES, RECORD
from understudy.files import sha256, write_json
from understudy.gate import DATASET, EVALUATION, JUDGE, STUDENT, TEST_SPLIT
from understudy.metrics.protocol import MEASURED, MIOU
from understudy.verdict import PATH

POLICY = {MIOU: {"min": 0.5, "max_worse_than_teacher": 0.05}, "macs_true_g": {"max": 2.0}}
MADE_ELSEWHERE = (EVALUATION, RECORD, PATH, "artifacts/evaluate/metrics.json")


class Project:
    """root: where its developer works. origin: the bare repository. store: the folder that is the DVC remote."""

    def __init__(self, repo: Path, folder: Path) -> None:
        self.root, self.origin, self.store = folder / "work", folder / "origin.git", folder / "store"
        copy_files(repo, self.root)
        for ignored in (repo / "artifacts").rglob(".gitignore"):
            target = self.root / ignored.relative_to(repo)
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ignored, target)
        self.set("gate", POLICY)
        self._git("checkout", "-q", "-b", "main")
        done(self.root, "git", "init", "-q", "--bare", "--initial-branch=main", str(self.origin))
        self._git("remote", "add", "origin", str(self.origin))
        self.remote(str(self.store))
        self._write_outputs()
        self.reproduce(0.6)
        self.share()

    def branch(self, name: str) -> None:
        """Start one from main, as it is there."""
        self._git("checkout", "-q", "-f", "-b", name, "main")
        with self._dvc() as found:
            found.checkout(force=True)

    def set(self, name: str, value: Any) -> None:
        """One parameter, by its dotted name."""
        path = self.root / "params.yaml"
        values = yaml.safe_load(path.read_text())
        *folders, key = name.split(".")
        place = values
        for folder in folders:
            place = place[folder]
        place[key] = value
        path.write_text(yaml.safe_dump(values, sort_keys=False))

    def remote(self, address: str, **options: str) -> None:
        """Make `address` the DVC remote."""
        lines = ["[core]", "analytics = false", "check_update = false", "remote = store", "['remote \"store\"']"]
        lines += [f"{key} = {value}" for key, value in {"url": address, **options}.items()]
        (self.root / ".dvc/config").write_text("\n".join(lines) + "\n")

    def reproduce(self, miou: float) -> None:
        """As if every stage had run and the student's mIoU were `miou`; the gate's verdict is its own."""
        text = (self.root / "params.yaml").read_text()
        self._write(STUDENT[1], f"weights {miou} of {text}")
        self._write(FILES["onnx"], f"exported {miou}")
        evaluation = evaluated(self.root, miou)
        write_json(self.root / EVALUATION, evaluation)
        models = {name: {metric: entry["value"] for metric, entry in found.items()}
                  for name, found in evaluation["models"].items()}  # fmt: skip
        write_json(self.root / "artifacts/evaluate/metrics.json", models)
        write_json(self.root / RECORD, {
            "schema": 1, "models": {"onnx": evaluation["models"]["student"]}, "collapse": {"onnx": None},
            "differences": {"onnx_minus_teacher": evaluation["differences"]["student_minus_teacher"]},
            "files": {FILES["onnx"]: sha256(self.root / FILES["onnx"])},
            "evaluation_sha256": sha256(self.root / EVALUATION),
        })  # fmt: skip
        self.judge()

    def judge(self) -> None:
        """Run the gate, and have dvc.lock say that everything is as it lies there."""
        done(self.root, "python", "-m", "stages.gate")
        self.lock()

    def lock(self) -> None:
        with self._dvc() as found:
            found.commit(force=True)

    def share(self, push: bool = True) -> None:
        """Commit everything and push it to origin; the outputs to the remote too if `push`."""
        name = done(self.root, "git", "symbolic-ref", "--short", "HEAD").strip()
        commit(self.root, f"work on {name}")
        if push:
            with self._dvc() as found:
                found.push()
        self._git("push", "-q", "origin", name)

    def clone(self, name: str, target: Path, *options: str) -> Path:
        """A fresh clone of a branch, as a CI has it: every branch's history and no data."""
        done(self.root, "git", "clone", "-q", "--branch", name, *options, self.origin.as_uri(), str(target))
        return target

    @contextmanager
    def _dvc(self) -> Iterator[Repo]:
        """In this process: starting DVC's command takes longer than what it does here."""
        with chdir(self.root), Repo() as found:  # a Repo of elsewhere looks for a stage's folder where the process is
            yield found

    def _write_outputs(self) -> None:
        for stage in yaml.safe_load((self.root / "dvc.yaml").read_text())["stages"].values():
            for entry in (*stage.get("outs", ()), *stage.get("metrics", ())):
                name = entry if isinstance(entry, str) else next(iter(entry))
                if name == "artifacts/export":
                    name = FILES["int8"]
                if name not in MADE_ELSEWHERE:
                    self._write(name, f'{{"made": "{name}"}}')

    def _write(self, name: str, text: str) -> None:
        path = self.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.unlink(missing_ok=True)  # DVC may have linked it to its cache
        path.write_text(text)

    def _git(self, *arguments: str) -> None:
        done(self.root, "git", *arguments)


def evaluated(root: Path, miou: float) -> dict[str, Any]:
    """evaluation.json about the files at hand, with a student of that mIoU."""

    def scored(value: float, half: float = 0.005) -> dict[str, float]:
        return {"value": value, "low": value - half, "high": value + half, "n": 200}

    quality = {"teacher": 0.62, "student": miou, "baseline": 0.45}
    models = {name: {MIOU: scored(value), **{metric.name: {"value": 10.0 if name == "teacher" else 1.0}
                                             for metric in MEASURED}}
              for name, value in quality.items()}  # fmt: skip
    files = (*STUDENT, DATASET, TEST_SPLIT, JUDGE)
    return {
        "schema": 2, "dataset": "toy streets", "kind": "labels", "split": "test", "seed": 0, "determinism": "seeded",
        "models": models, "collapse": dict.fromkeys(quality),
        "differences": {f"student_minus_{other}": {MIOU: scored(miou - quality[other])}
                        for other in ("teacher", "baseline")},
        "files": {name: sha256(root / name) for name in files},
    }  # fmt: skip
