"""Runs commands of `understudy` in forks of one warm process: importing MLflow and torch takes longer than they do.

Reads a line of JSON per batch: a list of {"words": [...], "at": N, "paused": FILE}; the batch runs at once. A command
is stopped once the Nth of its requests that change something has been answered (0: never): without FILE it ends there,
with no goodbye; otherwise it makes FILE and goes on when that is gone. What only reads is not counted: a command that
ends after it leaves what it would have left before it. Answers with a line of JSON: of each command the exit code, what
it printed, and the requests by which it changed something.
"""

import json
import os
import sys
import tempfile
import time
import traceback
from collections.abc import Sequence
from pathlib import Path

KILLED = 9


def run(words: Sequence[str], at: int, paused: str, output: Path) -> int:
    """In the fork: the command's exit code. Its output and its requests go into files."""
    import requests

    from understudy.cli import main

    with output.open("w") as stream:
        os.dup2(stream.fileno(), 1)
        os.dup2(stream.fileno(), 2)
    send = requests.Session.send
    said = []

    def counted(session: requests.Session, request: requests.PreparedRequest, **options: object) -> requests.Response:
        answer = send(session, request, **options)
        path = request.path_url.partition("?")[0]
        if request.method == "GET" or path.endswith("/search"):
            return answer
        said.append(f"{request.method} {path}")
        if len(said) == at:
            stop(paused)
        return answer

    requests.Session.send = counted  # type: ignore[method-assign]
    try:
        code = main(words)
    except BaseException:
        traceback.print_exc()
        code = 1
    sys.stdout.flush()
    output.with_suffix(".json").write_text(json.dumps(said))
    return code


def stop(paused: str) -> None:
    if not paused:
        os._exit(KILLED)
    file = Path(paused)
    file.touch()
    while file.exists():
        time.sleep(0.1)


def serve() -> None:
    import mlflow.pyfunc
    import mlflow.store.artifact.mlflow_artifacts_repo
    import mlflow.tracking  # noqa: F401

    import understudy.adapters.promoting
    import understudy.remeasure  # noqa: F401

    answers = os.fdopen(os.dup(1), "w")
    with tempfile.TemporaryDirectory() as folder:
        for line in sys.stdin:
            running = []
            for index, command in enumerate(json.loads(line)):
                output = Path(folder) / f"{index}.txt"
                output.with_suffix(".json").unlink(missing_ok=True)
                process = os.fork()
                if process == 0:
                    os._exit(run(command["words"], command["at"], command["paused"], output))
                running.append((process, output))
            said = []
            for process, output in running:
                code = os.waitstatus_to_exitcode(os.waitpid(process, 0)[1])
                count = output.with_suffix(".json")
                requests = json.loads(count.read_text()) if count.exists() else []
                said.append({"code": code, "output": output.read_text(), "requests": requests})
            print(json.dumps(said), file=answers, flush=True)


if __name__ == "__main__":
    serve()
