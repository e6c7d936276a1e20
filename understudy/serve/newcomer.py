"""A version on its way to being served: its files are kept while it fails, and it is tried ever less often."""

import shutil
import tempfile
from pathlib import Path

from understudy.serve.sources import Found, Source

MOST_LOOKS = 128  # between two attempts: an hour at the usual 30 s


class Newcomer:
    """failed: attempts that failed. problem: of the last of these, or empty."""

    def __init__(self, version: str) -> None:
        self.version, self.failed, self.problem = version, 0, ""
        self._found: Found | None = None
        self._folder = tempfile.TemporaryDirectory(prefix="understudy-serve-", ignore_cleanup_errors=True)
        self._rest = 0  # looks to let pass

    def due(self) -> bool:
        """Whether this look at the registry is one to try it at: 1, 2, 4 … looks after an attempt that failed."""
        self._rest -= 1
        return self._rest < 0

    def fail(self, problem: str) -> None:
        self.failed, self.problem = self.failed + 1, problem
        self._rest = min(2 ** (self.failed - 1), MOST_LOOKS) - 1

    def bring(self, source: Source) -> Found:
        """Its files, which are not brought again once they were all there. Raises what `Source.fetch` raises."""
        if self._found is None:
            folder = Path(self._folder.name) / "files"
            shutil.rmtree(folder, ignore_errors=True)  # the half of them that an earlier attempt had brought
            folder.mkdir()
            self._found = source.fetch(self.version, folder)
        return self._found

    def close(self) -> None:
        """Remove its files."""
        self._folder.cleanup()
