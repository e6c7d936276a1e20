"""Errors that a user is meant to read, and the exit codes that say what kind of failure a process met."""

OK = 0
UNEXPECTED = 1  # a bug of ours: the only case in which a traceback is shown
BAD_INPUT = 2  # a parameter, a file or an argument that the user can mend
GATE_FAILED = 3  # the student did not meet its bar
DATA_FAILED = 4  # the data did not meet its expectations, or a verdict cannot be read
STALE = 5  # the committed results are not of the committed parameters, code and data
OUT_OF_MEMORY = 12  # as errno has it: run again as it is, it would not fit either
LOST = 70  # another process of the same training ended: the reason is there
PREEMPTED = 75  # stopped from outside with its state saved: run it again and it goes on
INTERRUPTED = 130  # what shells report of a process that SIGINT ended


def in_one_line(error: object) -> str:
    """What another library or a file says, in one line of a length that can be read."""
    return " ".join(str(error).split())[:200]


class UserError(Exception):
    """One clear message: which file or key, what was wrong, what to do. Shown without a traceback.

    code: the exit status of the process that meets it (one of the constants above).
    """

    def __init__(self, message: str, code: int = BAD_INPUT) -> None:
        super().__init__(message)
        self.code = code
