"""Runs of the tiny project in pods, to be disturbed: each trains anew, and is compared with an undisturbed one."""

import contextlib
import json
from collections.abc import Iterator
from pathlib import Path
from uuid import UUID

from kubernetes_cluster import KubernetesCluster
from prefect_server import PrefectServer
from processes_in import processes_in
from tiny_project import Project, undisturbed, wait
from whole_stack import REMOTE, Stack, at_work, whole_stack
from workers import begin, children

PATIENCE = 900.0  # seconds for a run's end
STEP_SECONDS = "3"


class Disturbed:
    """project: whose workspaces are on the cluster's volume. stack: everything around it."""

    def __init__(self, project: Project, stack: Stack, server: PrefectServer) -> None:
        self.project, self.stack, self.server = project, stack, server

    def begin(self, name: str, **parameters: object) -> UUID:
        """A run of a commit that no cache knows. name: any word that no other run has had."""
        (self.project.root / "own.py").open("a").write(f"# {name}\n")
        self.project.share()
        return begin(self.server, **parameters)

    def branch(self, run: UUID) -> str:
        """The run's, once it has one."""
        named = lambda: self._name(run).startswith("runs/")  # noqa: E731
        wait(named, "a branch", PATIENCE)
        return self._name(run)

    def training(self, run: UUID, steps: int = 2) -> tuple[str, UUID]:
        """The branch, and the flow run of its training once that has taken so many steps."""
        branch = self.branch(run)
        wait(lambda: len(self.project.steps(branch)) >= steps, "training", PATIENCE)
        (stage,) = [one for one in children(self.server, run) if one.name.startswith("teacher")]
        return branch, stage.id

    def pod(self, run: UUID) -> str:
        name = self.stack.pod(run)
        assert name is not None, "no pod runs it"
        return name

    def ended(self, run: UUID):
        """The state in which a run ends."""
        wait(lambda: self.server.state(run).is_final(), "the run's end", PATIENCE)
        return self.server.state(run)

    def ended_well(self, run: UUID) -> str:
        """The branch of a run that ended well, with the weights of an undisturbed training on S3."""
        state = self.ended(run)
        assert state.is_completed(), f"{state.name}: {state.message}\n{self.stack.logs(run)}"
        branch = self._name(run)
        assert self.weights(branch) == undisturbed()
        return branch

    def weights(self, branch: str) -> dict[str, int]:
        """What the branch names and S3 has."""
        import yaml
        from s3_servers import BUCKET

        lock = yaml.safe_load(self.project.file(branch, "dvc.lock"))
        (out,) = lock["stages"]["teacher"]["outs"]
        key = f"dvc/files/md5/{out['md5'][:2]}/{out['md5'][2:]}"
        return json.loads(self.stack.store.client().get_object(Bucket=BUCKET, Key=key)["Body"].read())

    def states(self, run: UUID) -> list[str]:
        """The names of a run's states, in their order."""
        with self.server.client() as client:
            return [state.name for state in client.read_flow_run_states(run)]

    def nothing_runs(self) -> None:
        """Waits until no process works in any workspace."""
        wait(lambda: not processes_in(self.project.workspaces), "the end of every process", 180)

    def no_pod_of(self, *runs: UUID) -> None:
        """Waits until every pod of these flow runs has ended or is gone."""
        wait(lambda: not any(map(self.stack.living, runs)), "the end of every pod", 180)

    def _name(self, run: UUID) -> str:
        with self.server.client() as client:
            return client.read_flow_run(run).name


@contextlib.contextmanager
def disturbed_runs(
    repo: Path, kubernetes: KubernetesCluster, server: PrefectServer, folder: Path
) -> Iterator[Disturbed]:
    with whole_stack(kubernetes, server, folder, registry=False) as stack:
        project = Project(repo, folder / "git", REMOTE)
        project.workspaces = stack.claim()
        with at_work(stack, folder / "git", STEP_SECONDS=STEP_SECONDS):
            yield Disturbed(project, stack, server)
