"""A work pool in Prefect's server from a job template in a file: `python -m understudy.adapters.prefect_pools`.

    python -m understudy.adapters.prefect_pools infra/prefect/understudy-cpu.json --namespace NS --image IMAGE

The pool is called as the file is. What it has beside its template (paused, a limit, its queues) stays. In the cluster a
worker does so before it starts, with its own namespace and image: a new image reaches the Jobs with the worker.
"""

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from understudy.errors import BAD_INPUT, UserError

KIND = "kubernetes"


def filled(path: Path, namespace: str, image: str) -> dict[str, Any]:
    """The template with these two as defaults. Raises UserError for a file that is no job template."""
    try:
        template: dict[str, Any] = json.loads(path.read_text())
        properties = template["variables"]["properties"]
        properties["namespace"]["default"] = namespace
        properties["image"]["default"] = image
        template["job_configuration"]["job_manifest"]["spec"]
    except OSError as error:
        raise UserError(f"{path}: {error.strerror}; name a job template, as infra/prefect has") from error
    except (ValueError, KeyError, TypeError) as error:
        raise UserError(f"{path}: not a job template with the variables namespace and image") from error
    template["variables"]["required"] = [name for name in template["variables"].get("required", []) if name != "image"]
    return template


def put(path: Path, namespace: str, image: str) -> str:
    """Make the pool or give it this template. The pool's name. Raises UserError when Prefect's server cannot be asked."""
    import httpx
    from prefect.client.orchestration import get_client
    from prefect.client.schemas.actions import WorkPoolCreate, WorkPoolUpdate
    from prefect.exceptions import ObjectNotFound, PrefectHTTPStatusError

    template = filled(path, namespace, image)
    try:
        with get_client(sync_client=True) as client:
            try:
                kind = client.read_work_pool(path.stem).type
            except ObjectNotFound:
                client.create_work_pool(WorkPoolCreate(name=path.stem, type=KIND, base_job_template=template))
                return path.stem
            if kind != KIND:
                raise UserError(f"the pool {path.stem} is of the type {kind}, not {KIND}; delete it or rename the file")
            client.update_work_pool(path.stem, WorkPoolUpdate(base_job_template=template))
    except (httpx.HTTPError, PrefectHTTPStatusError, RuntimeError) as error:
        raise UserError(
            f"Prefect's server does not take the pool {path.stem}: {error}; look at PREFECT_API_URL"
        ) from error
    return path.stem


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="prefect_pools", description=(__doc__ or "").split("\n\n")[0])
    parser.add_argument("template", type=Path)
    parser.add_argument("--namespace", required=True)
    parser.add_argument("--image", required=True)
    arguments = parser.parse_args(argv)
    try:
        print(f"pool {put(arguments.template, arguments.namespace, arguments.image)}: {arguments.image}")
    except UserError as error:
        print(f"prefect_pools: {error}", file=sys.stderr)
        return BAD_INPUT
    return 0


if __name__ == "__main__":
    sys.exit(main())
