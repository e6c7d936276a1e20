"""A verb, through the same entry that the console script calls: here, and in a process of its own."""

import sys

from understudy.cli import main

SCRIPT = [sys.executable, "-c", "import sys; from understudy.cli import main; sys.exit(main())"]


def understudy(capsys, *arguments):
    """Run a verb; returns its exit code, its output and its errors."""
    code = main([str(argument) for argument in arguments])
    return code, *capsys.readouterr()
