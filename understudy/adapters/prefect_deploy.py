"""Prefect's server made equal to prefect.yaml: `make deploy`, `python -m understudy.adapters.prefect_deploy`.

`prefect deploy --all` writes what is in the file. It leaves behind what is in it no more: a deployment, and of a
deployment the last schedule. Here they go. What is ours has the tag `understudy`; others' deployments are left alone.
Work pools that are missing are made: of processes, or with --namespace and --image of Kubernetes Jobs, by the templates
of infra/prefect, which are then written to the server anew. (In the cluster the workers do so: infra/k8s.)
"""

import argparse
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from understudy.adapters import prefect as runs
from understudy.adapters.prefect_pools import put
from understudy.errors import OK, UserError, in_one_line
from understudy.params.loader import read

if TYPE_CHECKING:
    from prefect.client.orchestration import SyncPrefectClient
    from prefect.client.schemas.responses import DeploymentResponse

FILE, TEMPLATES, TAG = "prefect.yaml", "infra/prefect", "understudy"
LAST = 12  # lines of what a failed `prefect deploy` said, with the reason among them


def deploy(root: Path, namespace: str | None = None, image: str | None = None) -> list[str]:
    """What was done, in sentences. namespace, image: of the Jobs, both or neither.

    Raises UserError for a file that says something else than it must, and when the server cannot be made equal to it.
    """
    wanted = _wanted(root)
    runs.reach()
    from prefect.client.orchestration import get_client

    with get_client(sync_client=True) as client:
        done = list(_pools(root, client, {entry["work_pool"]["name"] for entry in wanted.values()}, namespace, image))
        _run_prefect(root)
        there = _ours(client)
        for name in there.keys() - wanted.keys():
            client.delete_deployment(there[name].id)
            done.append(f"{name}: removed")
        for name in wanted:
            done.append(f"{name}: {_equal(client, name, there.get(name), wanted[name].get('schedules') or [])}")
    return done


def _wanted(root: Path) -> dict[str, Mapping[str, Any]]:
    """The file's deployments by FLOW/NAME, a flow being called as its function is."""
    found = {}
    for entry in read(root / FILE)["deployments"]:
        name = f"{entry['entrypoint'].rpartition(':')[2]}/{entry['name']}"
        if TAG not in entry.get("tags", ()):
            raise UserError(f"{FILE}: {name} has not the tag {TAG}, by which it would be known to be ours once it is "
                            "gone from the file")  # fmt: skip
        limit = entry.get("concurrency_limit")
        if limit is not None and not (isinstance(limit, dict) and "collision_strategy" in limit):
            raise UserError(f"{FILE}: {name}.concurrency_limit: say what becomes of a run too many, as in "
                            "{limit: 1, collision_strategy: ENQUEUE}")  # fmt: skip
        found[name] = entry
    return found


def _pools(root: Path, client: "SyncPrefectClient", names: set[str], namespace: str | None, image: str | None) -> Any:
    from prefect.client.schemas.actions import WorkPoolCreate
    from prefect.exceptions import ObjectNotFound

    for name in sorted(names):
        if namespace and image:
            yield f"pool {put(root / TEMPLATES / f'{name}.json', namespace, image)}: {image}"
            continue
        try:
            client.read_work_pool(name)
        except ObjectNotFound:
            client.create_work_pool(WorkPoolCreate(name=name, type="process"))
            yield f"pool {name}: made, of processes"


def _run_prefect(root: Path) -> None:
    environment = {"UNDERSTUDY_CODE": str(root.resolve()), **os.environ}
    done = subprocess.run([sys.executable, "-m", "prefect", "--no-prompt", "deploy", "--all"], cwd=root,
                          env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                          text=True, check=False)  # fmt: skip
    if done.returncode:
        said = "\n  ".join(done.stdout.strip().splitlines()[-LAST:])
        raise UserError(f"`prefect deploy --all` ended with code {done.returncode}:\n  {said}")


def _ours(client: "SyncPrefectClient") -> dict[str, "DeploymentResponse"]:
    """Our deployments on the server by FLOW/NAME."""
    from prefect.client.schemas.filters import DeploymentFilter, DeploymentFilterTags

    ours = DeploymentFilter(tags=DeploymentFilterTags(all_=[TAG]))
    return {f"{client.read_flow(one.flow_id).name}/{one.name}": one
            for one in client.read_deployments(deployment_filter=ours)}  # fmt: skip


def _equal(
    client: "SyncPrefectClient", name: str, there: "DeploymentResponse | None", schedules: list[Mapping[str, Any]]
) -> str:
    """Make a deployment's schedules what the file says; what they are. `prefect deploy` replaces them by others, and
    never by none."""
    if there is None:
        raise UserError(f"{name} was deployed and is not on the server: is its function called as its flow is?")
    if not schedules:
        for schedule in client.read_deployment_schedules(there.id):
            client.delete_deployment_schedule(there.id, schedule.id)
    found = client.read_deployment_schedules(there.id)
    if len(found) != len(schedules):
        raise UserError(f"{name}: has {len(found)} schedules on the server, {len(schedules)} in {FILE}; deploy again")
    shown = [
        f"{entry['cron']} {entry.get('timezone', 'UTC')}" if "cron" in entry else "scheduled" for entry in schedules
    ]
    return "; ".join(shown) or "no schedule"


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="prefect_deploy", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--namespace", help="of the Jobs")
    parser.add_argument("--image", help="of the Jobs")
    arguments = parser.parse_args(argv)
    try:
        if bool(arguments.namespace) != bool(arguments.image):
            raise UserError("--namespace and --image: both or neither")
        print("\n".join(deploy(Path(), arguments.namespace, arguments.image)))
    except UserError as error:
        print(f"deploy: {error}", file=sys.stderr)
        return error.code
    except Exception as error:  # httpx's and Prefect's own share no base
        print(f"deploy: Prefect's server does not take it: {in_one_line(error)}; deploy again", file=sys.stderr)
        return 1
    return OK


if __name__ == "__main__":
    sys.exit(main())
