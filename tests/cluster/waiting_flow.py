"""A flow for the worker's test: it says that it has started, and waits to be let go."""

import time
from pathlib import Path

from prefect import flow


@flow
def waiting(place: str) -> None:
    """Write place/started-N, N of one's own, and wait for place/go."""
    folder = Path(place)
    (folder / f"started-{len(list(folder.glob('started-*')))}").touch()
    while not (folder / "go").exists():
        time.sleep(0.1)
