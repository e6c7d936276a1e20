"""Servers that are away now and then are asked again, for as long as one takes to start."""

import time
from collections.abc import Callable
from typing import TypeVar

from understudy import child
from understudy.errors import UserError

DELAYS = (2.0, 5.0, 10.0, 20.0, 40.0)  # seconds between two attempts
Result = TypeVar("Result")


def patiently(act: Callable[[], Result], is_away: Callable[[UserError], bool], said: Callable[[str], None]) -> Result:
    """What `act` gives, called again while it raises an error that `is_away` takes for one of a server that may answer
    later. said: called with each such error. Raises the last one, any other, and all once this process is to end."""
    for delay in DELAYS:
        try:
            return act()
        except UserError as error:
            if child.received or not is_away(error):
                raise
            said(f"{error}; again in {delay:.0f} s")
        time.sleep(delay)
    return act()
