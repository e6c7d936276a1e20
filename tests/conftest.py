"""What all tests share: a pipeline shrunk by its parameters, and a guard against skipping in silence."""

import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

REPO = Path(__file__).parents[1]
EXPECTED_SKIPS = (  # reasons that CI accepts
    "needs a CUDA device",
    "needs the right to mount a file system",
    "needs the right to make a control group of memory",
    "needs Ceph's S3 gateway",  # `make ceph`, which .ci/run does
)

# Set before anything that reads them is imported.
os.environ["UNDERSTUDY_TRACKING"] = "off"
os.environ.setdefault("OMP_NUM_THREADS", "1")


@pytest.fixture(scope="session")
def repo() -> Path:
    """The repository's root."""
    return REPO


@pytest.fixture(scope="session")
def prefect_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """A real Prefect server (prefect_server.PrefectServer), up after ten seconds; one for all who ask."""
    from prefect_server import serving_prefect

    with serving_prefect(tmp_path_factory.mktemp("prefect")) as server:
        yield server


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """`--dist=loadfile` gives all files that need Prefect's server to one worker, so that one is started."""
    if config.getvalue("dist") != "loadfile":
        return None
    from xdist.scheduler import LoadFileScheduling

    served = {str(path.relative_to(REPO)) for path in (REPO / "tests").rglob("test_*.py")
              if "prefect_server" in path.read_text(encoding="utf-8")}  # fmt: skip

    class Scheduling(LoadFileScheduling):
        def _split_scope(self, nodeid: str) -> str:
            path = super()._split_scope(nodeid)
            return "prefect_server" if path in served else path

    return Scheduling(config, log)


@pytest.fixture(scope="session")
def kubernetes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """A Kubernetes API server of the project's own (kubernetes_cluster.KubernetesCluster); one for all who ask."""
    from kubernetes_cluster import running_cluster

    with running_cluster(tmp_path_factory.mktemp("cluster"), tmp_path_factory.getbasetemp()) as cluster:
        yield cluster


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session: pytest.Session) -> None:
    """In CI, a skip that nobody expects is a failure: a test that does not run proves nothing."""
    reporter = session.config.pluginmanager.get_plugin("terminalreporter")
    if reporter is None:  # in a worker of xdist: its controller hears of every skip
        return
    skipped = [report for report in reporter.stats.get("skipped", []) if not _expected(report)]
    if skipped and os.environ.get("CI"):
        for report in skipped:
            print(f"unexpected skip: {report.nodeid}: {report.longrepr}", file=sys.stderr)
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


def _expected(report: pytest.TestReport) -> bool:
    return any(reason in str(report.longrepr) for reason in EXPECTED_SKIPS)
