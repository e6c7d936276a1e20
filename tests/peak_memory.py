"""How much memory this process takes while a block runs, as Linux counts it."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def bounded(mib: int) -> Iterator[None]:
    """Fail when the block's peak of resident memory is more than `mib` MiB above what was resident before it."""
    Path("/proc/self/clear_refs").write_text("5")  # the peak begins anew
    before = _peak()
    yield
    grown = (_peak() - before) // 1024
    assert grown <= mib, f"{grown} MiB more, at most {mib} expected"


def _peak() -> int:
    """In KiB."""
    (line,) = (line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM:"))
    return int(line.split()[1])
