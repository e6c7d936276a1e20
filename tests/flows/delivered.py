"""A project whose stages hand on what a supplier delivered: data, a judge that learnt, and a student with its verdict.

The supplier's archive lies outside the repository, and DVC imports it. The student and its evaluation are real
(tiny_students), so that promotion and verification measure them anew; no stage takes any time.
"""

import shutil
import zipfile
from pathlib import Path

import yaml
from own_repository import done
from tiny_project import Project

STAGE = '''
"""Unpack this stage's files from what was delivered."""
import shutil, sys, zipfile
from pathlib import Path
import yaml
from understudy.errors import DATA_FAILED, UserError
from understudy.stage import main

name = sys.argv.pop(1)
outs = [out if isinstance(out, str) else next(iter(out))
        for out in yaml.safe_load(Path("dvc.yaml").read_text())["stages"][name]["outs"]]

def run(job):
    with zipfile.ZipFile("feed.zip" if name == "prepare" else "artifacts/prepare/feed.zip") as archive:
        if name == "check" and "wrong.txt" in archive.namelist():
            raise UserError("rows 3 and 4 are wrong", DATA_FAILED)
        for out in outs:
            path = job.output(out.removeprefix("artifacts/"))
            path.parent.mkdir(parents=True, exist_ok=True)
            if out == "artifacts/prepare/feed.zip":
                shutil.copy("feed.zip", path)
            else:
                path.write_bytes(archive.read(out) if out in archive.namelist() else b"{}")

main(name, (), lambda job: {}, run)
'''
# By stage, what it hands on; the first two need no GPU.
FILES = {
    "prepare": ("prepare/feed.zip", "prepare/dataset.json", "prepare/train.zip", "prepare/test.zip"),
    "check": ("check/result.json",),
    "evaluate": ("judge/judge.json", "judge/weights.safetensors", "distill/arch.json", "distill/weights.safetensors",
                 "evaluate/evaluation.json"),
    "gate": ("gate/verdict.json",),
}  # fmt: skip


def graph() -> str:
    stages, made = {}, []
    for name, files in FILES.items():
        outs = [f"artifacts/{file}" for file in files]
        stages[name] = {
            "cmd": f"python own.py {name}",
            "deps": ["own.py", *(made or ["${prepare.source}"])],
            "outs": [{out: {"cache": False}} for out in outs] if name == "gate" else outs,
        }
        made += outs
    return yaml.safe_dump({"stages": stages}, sort_keys=False)


class Delivered(Project):
    """runs: the folder of finished runs (tiny_students) of which one is delivered at a time."""

    def __init__(self, repo: Path, folder: Path, runs: Path, first: str) -> None:
        super().__init__(repo, folder)
        self.runs, self.feed = runs, folder / "supplier/feed.zip"
        self.deliver(first)
        shutil.rmtree(self.root / "recipes")
        (self.root / "recipes").mkdir()
        params = yaml.safe_load((runs / first / "params.yaml").read_text())
        params["prepare"]["source"] = "feed.zip"
        (self.root / "params.yaml").write_text(yaml.safe_dump(params))
        (self.root / "own.py").write_text(STAGE)
        (self.root / "dvc.yaml").write_text(graph())
        done(self.root, "dvc", "import-url", str(self.feed), "feed.zip")
        done(self.root, "dvc", "push", "feed.zip")
        self.share()

    def deliver(self, run: str, wrong: bool = False) -> None:
        """Put a run at the supplier's address."""
        self.feed.parent.mkdir(exist_ok=True)
        with zipfile.ZipFile(self.feed, "w") as archive:
            for name in (name for files in FILES.values() for name in files):
                path = self.runs / run / "artifacts" / name
                if path.exists():
                    archive.write(path, f"artifacts/{name}")
            if wrong:
                archive.writestr("wrong.txt", "")
