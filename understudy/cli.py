"""The `understudy` command. Each verb is a file of understudy/commands; what it needs is imported once it runs."""

import argparse
import os
import sys
from collections.abc import Sequence
from types import ModuleType

from understudy.commands import (
    clean,
    cost,
    fetch,
    follow,
    gate,
    publish,
    recipe,
    registry,
    report,
    review,
    run,
    serve,
    summary,
    track,
    translate,
    watch,
)
from understudy.errors import BAD_INPUT, INTERRUPTED, UserError

# In the order in which one meets them.
VERBS: dict[str, ModuleType] = {
    "run": run,
    "follow": follow,
    "watch": watch,
    "recipe": recipe,
    "cost": cost,
    "summary": summary,
    "report": report,
    "gate": gate,
    "review": review,
    "registry": registry,
    "publish": publish,
    "fetch": fetch,
    "translate": translate,
    "serve": serve,
    "track": track,
    "clean": clean,
}
PIPE_CLOSED = 141  # what shells report of a process that SIGPIPE ended
EPILOG = """\
exit codes:
  0  done            1  a fault of understudy itself          3  the gate did not pass
  2  a parameter, a file or an argument is wrong              4  the verdict or the data cannot be used
                                                              5  the committed results are stale

`dvc repro` runs the stages alone; `understudy VERB --help` tells more about a verb."""


def main(argv: list[str] | None = None) -> int:
    """Run one verb and return its exit code. argv: without the program's name; by default the process's own."""
    arguments = _parser().parse_args(argv)
    try:
        code = VERBS[arguments.verb].run(arguments)
        sys.stdout.flush()  # here, so that a reader who left is met below and not at exit
        return code
    except UserError as error:
        print(f"understudy {arguments.verb}: {error}", file=sys.stderr)
        return error.code
    except KeyboardInterrupt:
        return INTERRUPTED
    except BrokenPipeError:
        # What is still buffered has no reader; the interpreter must not try to write it at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return PIPE_CLOSED
    except OSError as error:  # a folder that may not be read or written, a full disk: it names its file itself
        print(f"understudy {arguments.verb}: {error}", file=sys.stderr)
        return BAD_INPUT


def _parser() -> argparse.ArgumentParser:
    raw = argparse.RawDescriptionHelpFormatter
    about = "Compress image-to-image GANs, and promote only students that meet their bar."
    parser = argparse.ArgumentParser(prog="understudy", description=about, epilog=EPILOG, formatter_class=raw)
    parser.add_argument("--version", action=_Version, help="print the version and exit")
    verbs = parser.add_subparsers(dest="verb", required=True, metavar="VERB")
    for name, module in VERBS.items():
        about = (module.__doc__ or "").strip()
        module.configure(verbs.add_parser(name, help=_first_sentence(about), description=about, formatter_class=raw))
    return parser


class _Version(argparse.Action):
    """Looks the version up when it is asked for: that takes longer than the rest of a start."""

    def __init__(self, option_strings: Sequence[str], dest: str, help: str) -> None:
        super().__init__(option_strings, dest, nargs=0, default=argparse.SUPPRESS, help=help)

    def __call__(self, parser: argparse.ArgumentParser, *_: object) -> None:
        from importlib.metadata import version

        print(f"{parser.prog} {version('understudy')}")
        parser.exit()


def _first_sentence(about: str) -> str:
    return about.partition("\n")[0].rstrip(".")
