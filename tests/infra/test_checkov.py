"""checkov has nothing to say of the image and the overlays but what .checkov.yaml waives."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from manifests import OVERLAYS, REPO, jobs, rendered

VERSION = "3.3.30"  # in an environment of its own: it pins another botocore than DVC does


def test_what_is_waived_is_explained():
    lines = (REPO / ".checkov.yaml").read_text().splitlines()
    waived = [number for number, line in enumerate(lines) if line.strip().startswith("- CKV_")]
    assert waived and all(lines[number - 1].strip().startswith("# ") for number in waived)


def checked(folder: Path, cache: Path) -> subprocess.CompletedProcess[str]:
    tool = ["tool", "run", "--no-config", "--python", sys.executable, "--from", f"checkov=={VERSION}", "checkov"]
    environment = os.environ | {"UV_CACHE_DIR": str(cache / "cache"), "UV_TOOL_DIR": str(cache / "tools")}
    return subprocess.run(
        [sys.executable, "-m", "uv", *tool, "--config-file", str(REPO / ".checkov.yaml"), "--directory", str(folder)],
        env=environment, capture_output=True, text=True, timeout=1800,
    )  # fmt: skip


@pytest.mark.long
def test_nothing_is_found(tmp_path):
    folder = tmp_path / "checked"
    folder.mkdir()
    for overlay in OVERLAYS:
        (folder / f"{overlay}.yaml").write_text(yaml.safe_dump_all(rendered(overlay)))
    for pool, manifest in jobs().items():
        named = manifest | {"metadata": manifest["metadata"] | {"name": pool}}
        (folder / f"{pool}.yaml").write_text(yaml.safe_dump(named))
    shutil.copy(REPO / "infra/image/Dockerfile", folder)
    done = checked(folder, tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr[-2000:]
    # And it does look: a container with more rights is found.
    worse = (folder / "prod.yaml").read_text().replace("allowPrivilegeEscalation: false", "privileged: true")
    (folder / "prod.yaml").write_text(worse)
    done = checked(folder, tmp_path)
    assert done.returncode == 1 and "CKV_K8S_16" in done.stdout
