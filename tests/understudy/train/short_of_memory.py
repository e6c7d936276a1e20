"""A baseline's stage in which addresses run short: `short_of_memory.py WHEN MIB ROOT`.

WHEN: at which of its steps, those that its plan times included. MIB: that are left from there on.
"""

import resource
import sys
from pathlib import Path

from stages import baseline
from understudy.stage import main
from understudy.train.session import Session


def limited(when: int, mebibytes: int) -> None:
    """Have so much be left from that step (from 0) on."""
    step, taken = Session.step, iter(range(1_000_000))

    def counted(self, *given):
        if next(taken) == when:
            (size,) = (
                line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmSize:")
            )
            most = 1024 * int(size.split()[1]) + mebibytes * 2**20
            resource.setrlimit(resource.RLIMIT_AS, (most, most))
        return step(self, *given)

    Session.step = counted  # type: ignore[method-assign]


if __name__ == "__main__":
    limited(int(sys.argv[1]), int(sys.argv[2]))
    main("baseline", baseline.READS, baseline.plan, baseline.run, sys.argv[3:], baseline.shared_by)
