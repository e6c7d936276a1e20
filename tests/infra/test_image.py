"""The image, built and run by podman: read-only, without rights, and a signal reaches what its command has started.

Its own steps are what is tried, on a base that is made here, since none can be pulled. Most is tried with few
dependencies, since all of them are gigabytes; with those the servers are started, as in a pod of infra/k8s.
"""

import os
import re
import shutil
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

REPO = Path(__file__).parents[2]
DOCKERFILE = (REPO / "infra/image/Dockerfile").read_text()
BASE, IMAGE = "localhost/understudy-test-base", "localhost/understudy-test"
WHOLE = "localhost/understudy-test-whole"  # with every dependency of the lock
CONFIGURATION = """
[containers]
default_ulimits = ["nofile=10000:10000", "nproc=10000:10000"]
[engine]
runtime = "runc"
"""
LOCKED = ("--rm", "--network", "none", "--read-only", "--read-only-tmpfs=false", "--cap-drop", "all",
          "--security-opt", "no-new-privileges", "--tmpfs", "/tmp", "--user", "10001")  # fmt: skip


def test_the_base_is_named_by_version_and_digest():
    (base,) = re.findall(r"^ARG BASE=(.+)$", DOCKERFILE, re.MULTILINE)
    assert re.fullmatch(r"docker\.io/library/python:3\.11\.\d+-slim-bookworm@sha256:[0-9a-f]{64}", base)
    assert set(re.findall(r"^FROM (\S+)", DOCKERFILE, re.MULTILINE)) == {"${BASE}"}


def test_the_image_has_no_secret_and_is_not_root():
    assert not re.search(r"^(ARG|ENV).*(PASSWORD|SECRET|TOKEN|KEY)", DOCKERFILE, re.MULTILINE)
    assert re.findall(r"^USER (.+)$", DOCKERFILE, re.MULTILINE) == ["10001:10001"]
    assert 'ENTRYPOINT ["/usr/bin/tini", "-g", "--"]' in DOCKERFILE


def test_what_the_image_gets_is_there_and_is_no_more_than_it_runs():
    lines = (REPO / ".dockerignore").read_text().splitlines()
    rules = [line for line in lines if line and not line.startswith("#")]
    assert rules[0] == "*"
    taken = [rule.removeprefix("!") for rule in rules if rule.startswith("!")]
    assert all((REPO / path).exists() for path in taken)
    assert {"understudy", "stages", "flows", "prefect.yaml", "infra/prefect"} <= set(taken)
    assert not {".git", ".dvc", "tests", "data", "artifacts", ".understudy"} & set(taken)


class Podman:
    def __init__(self, folder: Path) -> None:
        (folder / "containers.conf").write_text(CONFIGURATION)
        self._environment = os.environ | {"CONTAINERS_CONF": str(folder / "containers.conf")}

    def __call__(self, *arguments: str, timeout: float = 3600) -> subprocess.CompletedProcess[str]:
        return subprocess.run(["podman", *arguments], env=self._environment, capture_output=True, text=True,
                              timeout=timeout)  # fmt: skip

    def start(self, *arguments: str) -> subprocess.Popen[str]:
        return subprocess.Popen(["podman", *arguments], env=self._environment, stdout=subprocess.PIPE, text=True)


@pytest.fixture(scope="module")
def podman(tmp_path_factory) -> Podman:
    """With the image built. Skips where podman cannot run or no base can be made."""
    folder = tmp_path_factory.mktemp("podman")
    if not shutil.which("podman") or not shutil.which("debootstrap"):
        pytest.skip("needs podman: make podman")
    podman = Podman(folder)
    probe = podman("info", timeout=120)
    if probe.returncode or os.getuid() != 0:
        pytest.skip(f"needs podman to run here, as root: {probe.stderr.strip()[-200:]}")
    if podman("image", "exists", BASE).returncode:
        root = folder / "root"
        packages = "python3,python3-venv,python3-pip,ca-certificates"
        subprocess.run(["debootstrap", "--variant=minbase", f"--include={packages}", "bookworm", str(root)], check=True,
                       stdout=subprocess.DEVNULL)  # fmt: skip
        subprocess.run(["tar", "-C", str(root), "-cf", str(folder / "root.tar"), "."], check=True)
        assert podman("import", str(folder / "root.tar"), BASE).returncode == 0
        shutil.rmtree(root)
    build(podman, context(folder / "context"), IMAGE)
    return podman


@pytest.fixture(scope="module")
def whole(podman, tmp_path_factory) -> Iterator[Podman]:
    """With the image of production built too: 7 GB, and removed afterwards."""
    build(podman, context(tmp_path_factory.mktemp("whole"), few=False), WHOLE)
    yield podman
    podman("rmi", "--force", WHOLE)


def build(podman: Podman, folder: Path, tag: str) -> None:
    # How this machine reaches a package index, which a build does as well.
    machine = [path for path in ("/etc/ssl/certs", "/etc/pip.conf") if Path(path).exists()]
    volumes = [argument for path in machine for argument in ("--volume", f"{path}:{path}:ro")]
    built = podman("build", "--network", "host", *volumes, "--build-arg", f"BASE={BASE}", "--tag", tag,
                   "--ignorefile", str(REPO / ".dockerignore"), "--file", str(REPO / "infra/image/Dockerfile"),
                   str(folder))  # fmt: skip
    assert built.returncode == 0, built.stdout[-2000:] + built.stderr[-2000:]


def context(folder: Path, few: bool = True) -> Path:
    """What git has of this repository. few: depending on little."""
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=REPO, capture_output=True, text=True, check=True).stdout
    for name in filter(None, listed.split("\0")):
        if (REPO / name).is_file():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(REPO / name, folder / name)
    if not few:
        return folder
    project = folder / "pyproject.toml"
    text = project.read_text()
    for name, kept in (("dependencies", '"numpy", "pyyaml"'), ("ops", ""), ("export", "")):
        text = re.sub(rf"^{name} = \[.*?^\]", f"{name} = [{kept}]", text, flags=re.MULTILINE | re.DOTALL)
    project.write_text(text)
    return folder


@pytest.mark.long
def test_it_runs_without_rights_on_a_read_only_root(podman):
    said = podman("run", *LOCKED, IMAGE, "understudy", "--version", timeout=300)
    assert said.returncode == 0 and said.stdout.startswith("understudy 0."), said.stderr
    prefix = "python -c 'import sys; print(sys.prefix)'"
    script = f"id -u; git --version; {prefix}; touch /opt/understudy/x /usr/x || echo refused"
    lines = podman("run", *LOCKED, IMAGE, "sh", "-c", script, timeout=300).stdout.splitlines()
    assert lines[0] == "10001" and lines[1].startswith("git version")
    assert lines[2:] == ["/opt/understudy/.venv", "refused"]


@pytest.mark.long
def test_only_what_it_runs_is_in_it(podman):
    found = podman("run", *LOCKED, IMAGE, "ls", "-A", "/opt/understudy", timeout=300)
    assert set(found.stdout.split()) <= {
        ".venv", "LICENSE", "README.md", "pyproject.toml", "requirements.lock", "prefect.yaml", "dvc.yaml",
        "params.yaml", "recipes", "datasets", "examples", "flows", "stages", "understudy", "understudy.egg-info",
        "infra",
    }  # fmt: skip
    layers = podman("history", "--no-trunc", "--format", "{{.CreatedBy}}", IMAGE).stdout
    assert not re.search(r"secret|password|token", layers, re.IGNORECASE)


@pytest.mark.long
def test_a_signal_reaches_the_whole_group(podman):
    """As when a pod is deleted: DVC does not hand SIGTERM on, so that the stage below it must get it itself."""
    child = "trap 'echo child; exit 0' TERM; echo ready; sleep 60 & wait"
    script = f'trap "echo parent; wait; exit 0" TERM; sh -c "{child}" & wait'
    name = "understudy-test-signal"
    process = podman.start("run", "--name", name, *LOCKED, IMAGE, "sh", "-c", script)
    assert process.stdout is not None and process.stdout.readline() == "ready\n"
    asked = time.monotonic()
    assert podman("stop", "--time", "50", name).returncode == 0
    said, _ = process.communicate(timeout=60)
    assert set(said.split()) == {"parent", "child"}
    assert time.monotonic() - asked < 50, "it was killed: nobody heard the signal"


# What a pod runs, and what its probe asks; a database in /tmp in place of Postgres.
SERVERS = {
    "prefect": ("prefect server start --host 127.0.0.1 --port 4200", "http://127.0.0.1:4200/api/ready"),
    "mlflow": ("mlflow server --host=127.0.0.1 --port=5000 --workers=2 --backend-store-uri=sqlite:////tmp/mlflow.db "
               "--artifacts-destination=/tmp/files", "http://127.0.0.1:5000/health"),
}  # fmt: skip


@pytest.mark.long
@pytest.mark.timeout(7200)
@pytest.mark.parametrize("name", SERVERS)
def test_a_server_answers_on_a_read_only_root(whole, name):
    (command, address), container = SERVERS[name], f"understudy-test-{name}"
    process = whole.start("run", "--name", container, *LOCKED, WHOLE, *command.split())
    ask = f"import urllib.request as web; print(web.urlopen('{address}', timeout=5).status)"
    deadline = time.monotonic() + 600
    try:
        while (asked := whole("exec", container, "python", "-c", ask)).stdout.strip() != "200":
            assert process.poll() is None and time.monotonic() < deadline, asked.stderr
            time.sleep(1)
    finally:
        whole("stop", "--time", "30", container)
        process.communicate(timeout=120)


@pytest.mark.long
@pytest.mark.timeout(7200)
def test_all_that_flows_and_stages_import_is_in_it(whole):
    code = "import dvc.api, great_expectations, mlflow, onnxruntime, torch, torchvision, flows.nightly, stages.distill"
    said = whole("run", *LOCKED, WHOLE, "python", "-c", f"{code}; print('imported')", timeout=900)
    assert said.returncode == 0 and said.stdout.strip().endswith("imported"), said.stderr
