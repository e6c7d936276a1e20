"""Watch training while it runs.

Every stage under ROOT; of a training its steps, speed, time left, losses, validation scores and last
sample grid. At a terminal the view is renewed every second until Ctrl-C; with --once, or where the
output is no terminal, it is printed once. It only reads: training neither knows nor waits.
"""

import argparse
import os
import shutil
import signal
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from understudy.errors import OK

if TYPE_CHECKING:
    from understudy.watch.stages import Stage

REFRESH_SECONDS = 1.0
PLAIN_WIDTH = 100  # columns where there is no terminal to ask
FOOTER = "Ctrl-C ends this view; what runs goes on."
IDLE = "Nothing runs here now. Ctrl-C ends this view."
# ANSI: a screen of its own, so that what was on the terminal comes back, no cursor and no wrapping; and back again.
ENTER, LEAVE = "\x1b[?1049h\x1b[?25l\x1b[?7l", "\x1b[?7h\x1b[?25h\x1b[?1049l"
TOP, CLEAR_LINE, CLEAR_BELOW = "\x1b[H", "\x1b[2K", "\x1b[J"


def configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--root", type=Path, default=Path(), help="folder that holds .understudy/ (default: this one)")
    parser.add_argument("--once", action="store_true", help="print the view once, even at a terminal")


def run(arguments: argparse.Namespace) -> int:
    from understudy.watch.stages import Watcher
    from understudy.watch.view import render

    watcher = Watcher(arguments.root)
    terminal = sys.stdout.isatty() and os.environ.get("TERM") != "dumb"
    colour = terminal and not os.environ.get("NO_COLOR")  # https://no-color.org

    def lines(stages: "Sequence[Stage]") -> list[str]:
        return render(stages, time.time(), shutil.get_terminal_size((PLAIN_WIDTH, 0)).columns, colour)

    stages = watcher.look()
    if terminal and not arguments.once:
        try:
            with _screen():
                while True:
                    running = any(stage.state == "running" for stage in stages)
                    _draw(lines(stages), FOOTER if running else IDLE)
                    time.sleep(REFRESH_SECONDS)
                    stages = watcher.look()
        except KeyboardInterrupt:
            pass  # the last view stays on the terminal
    print("\n".join(lines(stages)))
    return OK


@contextmanager
def _screen() -> Iterator[None]:
    """The terminal's other screen, left again however the block ends."""
    before = signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    try:
        sys.stdout.write(ENTER)
        yield
    finally:
        sys.stdout.write(LEAVE)
        sys.stdout.flush()
        signal.signal(signal.SIGTERM, before)


def _draw(lines: list[str], footer: str) -> None:
    """All that fits and a last line, in one write, so that nothing flickers."""
    height = shutil.get_terminal_size().lines
    visible = [*lines[: height - 2], footer] if height > 2 else lines[:height]
    sys.stdout.write(TOP + "\n".join(CLEAR_LINE + line for line in visible) + CLEAR_BELOW)
    sys.stdout.flush()
