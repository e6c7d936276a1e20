"""Following a training's log from another process, while it is written and after."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from understudy.train.log import parse

Record = Mapping[str, Any]


class Tail:
    """Reads the records that a log has gained, from its start again when the file was replaced or cut."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._file: int | None = None
        self._offset = 0

    def read(self) -> list[Record]:
        """New whole lines as records. A line that is still being written waits for the next look."""
        try:
            with self.path.open("rb") as stream:
                status = os.fstat(stream.fileno())
                if status.st_ino != self._file or status.st_size < self._offset:
                    self._file, self._offset = status.st_ino, 0
                stream.seek(self._offset)
                text = stream.read()
        except FileNotFoundError:
            return []
        whole = text[: text.rfind(b"\n") + 1]
        self._offset += len(whole)
        return [record for line in whole.splitlines() if (record := parse(line)) is not None]
