"""Running out of memory: telling it from other failures, and what the kernel says of it. Imports no torch.

A GPU's allocator, and the CPU's under a limit on addresses, refuse what they do not have, and an error tells. Otherwise
Linux promises more than there is and, once all of it is used, kills a process (SIGKILL): whoever started that one must
tell. A training leaves a note for it, of how many images at once should fit.
"""

import errno
import math
import re
import resource
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

from understudy.errors import UserError, in_one_line
from understudy.files import read_json, write_json

NOTE = "memory.json"  # in a stage's scratch folder
LOCK = "lock"  # beside it: taken when the stage began
# What allocators say in a RuntimeError: torch's on the CPU, CUDA's libraries, cuDNN 9, torch of a convolution none of
# whose kernels found room to work in (pytorch issue 108645), C++'s, oneDNN.
WORDS = ("can't allocate memory", "not enough memory", "out of memory", "ALLOC_FAILED", "ALLOCATION_FAILED",
         "unable to find an engine", "std::bad_alloc", "could not create a primitive")  # fmt: skip
PROC, GROUPS = Path("/proc"), Path("/sys/fs/cgroup")


def ran_out(error: BaseException) -> bool:
    """Whether an error says that memory was asked for and not had."""
    if isinstance(error, OSError):
        return error.errno == errno.ENOMEM
    if isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError":  # Python's and numpy's; torch's
        return True
    said = str(error)
    # A primitive's descriptor may also be one that oneDNN does not have.
    return isinstance(error, RuntimeError) and "descriptor" not in said and any(words in said for words in WORDS)


def wording(error: BaseException) -> str:
    """What the allocator said, in one line without the place in its source."""
    return re.sub(r"^\[enforce fail at [^]]*\] \S+ == \S+ ", "", in_one_line(error)) or type(error).__name__


def in_gigabytes(count: float) -> str:
    return f"{count / 1e9:.1f} GB"


def kills() -> int | None:
    """How many processes the kernel has killed for memory so far, of this one's control group (its container), or of
    the machine where there is none; None when the kernel does not tell."""
    for folder in _groups():
        for name in ("memory.events", "memory.oom_control"):  # of version 2, of version 1
            if (count := _table(folder / name).get("oom_kill")) is not None:
                return count
    return _table(PROC / "vmstat").get("oom_kill")


def have_grown(before: int | None) -> bool:
    """Whether the kernel has killed for memory since it was asked for `kills()`."""
    now = kills()
    return before is not None and now is not None and now > before


def forget_peak() -> bool:
    """Have `peak` count from now on; whether the kernel does that."""
    try:
        (PROC / "self/clear_refs").write_text("5")
    except OSError:
        return False
    return True


def peak() -> int:
    """The most bytes of this process that were in memory at once, on Linux."""
    return 1024 * _table(PROC / "self/status")["VmHWM:"]


def room() -> int:
    """Bytes that this process may come to hold before Linux kills one: what it holds and what is left, of the machine
    and of every control group that it is in."""
    free = 1024 * _table(PROC / "meminfo")["MemAvailable:"]
    left = min([free, *filter(math.isfinite, map(_left, _groups()))])
    return int(left) + 1024 * _table(PROC / "self/status")["VmRSS:"]


def addresses_left() -> int | None:
    """Bytes that Linux still lets this process ask for; None without such a limit."""
    most = resource.getrlimit(resource.RLIMIT_AS)[0]
    if most == resource.RLIM_INFINITY or (taken := _table(PROC / "self/status").get("VmSize:")) is None:
        return None
    return max(most - 1024 * taken, 0)


def leave_note(folder: Path, advice: str) -> None:
    """Write what to do for whoever finds this process killed. folder: the stage's, in the scratch folder."""
    write_json(folder / NOTE, {"advice": advice})


def killed(folder: Path) -> str:
    """What to tell of a stage's process that the kernel killed for memory, with the advice that it left itself."""
    told = "killed by the kernel, which had no memory left"
    note = folder / NOTE
    try:
        if note.stat().st_mtime >= (folder / LOCK).stat().st_mtime:  # an older one is of another training
            return f"{told}; {read_json(note)['advice']}"
    except (OSError, UserError, KeyError, TypeError):
        pass
    return f"{told}; give it more, or less to hold at once"


def _groups() -> Iterator[Path]:
    """The folders of this process's memory control group and of those around it, in either version."""
    if sys.platform != "linux":
        return
    try:
        lines = (PROC / "self/cgroup").read_text().splitlines()
    except OSError:
        return
    for line in lines:
        number, controllers, path = line.split(":", 2)
        if number != "0" and "memory" not in controllers.split(","):
            continue
        top = GROUPS if number == "0" else GROUPS / "memory"
        own = top / path.lstrip("/")
        while own != top:
            if own.is_dir():  # a container sees its own group at the top, and maybe its path on the host
                yield own
            own = own.parent
        yield top


def _left(group: Path) -> float:
    """Bytes that a control group has left before the kernel kills: what is cached of files makes room first."""
    limit, used = (
        _number(group / names[0]) or _number(group / names[1])
        for names in (("memory.max", "memory.limit_in_bytes"), ("memory.current", "memory.usage_in_bytes"))
    )
    if limit is None or used is None:
        return math.inf
    held = _table(group / "memory.stat")
    cached = sum(held.get(f"total_{name}", held.get(name, 0)) for name in ("inactive_file", "active_file"))
    return max(limit - (used - cached), 0)


def _number(path: Path) -> int | None:
    """What a file of the kernel's says; None where there is no such file, or no limit."""
    try:
        return int(path.read_text())
    except (OSError, ValueError):
        return None


def _table(path: Path) -> Mapping[str, int]:
    """The lines `name number ...` of a file of the kernel's; empty where there is no such file."""
    try:
        lines = [line.split() for line in path.read_text().splitlines()]
    except OSError:
        return {}
    return {line[0]: int(line[1]) for line in lines if len(line) > 1 and line[1].isdecimal()}
