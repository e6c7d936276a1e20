"""A source that lies elsewhere -> a folder or file here, unchanged parts of which are not fetched again.

The tool that fetches runs as a process of its own: the stage knows nothing of it, needs it only for such a source, and
is not made again when it changes, since what it delivers is compared with what the server says of it.
"""

import os
import subprocess
import sys
from pathlib import Path

from understudy.errors import UserError

ADAPTERS = {"s3://": "understudy.adapters.s3"}


def local_copy(source: str, folder: Path) -> Path:
    """`source` itself where it is a path; where it is an address, its copy below `folder`, brought up to date.

    Raises UserError with the reason, and the code, of a copy that failed; what it has fetched is kept for the next.
    """
    adapter = next((module for scheme, module in ADAPTERS.items() if source.startswith(scheme)), None)
    if adapter is None:
        if "://" in source:
            raise UserError(f"prepare.source: {source}: a path, or an address that begins with {', '.join(ADAPTERS)}")
        return Path(source)
    command = [sys.executable, "-m", adapter, source, str(folder), "--follow-pid", str(os.getpid())]
    done = subprocess.run(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True, check=False)
    answer = done.stdout.removesuffix("\n")  # the copy's path, or the reason why there is none; progress goes to stderr
    if done.returncode:
        reason = answer or f"prepare.source: {source}: `{' '.join(command[1:])}` ended with code {done.returncode}"
        raise UserError(reason, done.returncode) if done.returncode > 0 else UserError(reason)
    return Path(answer)
