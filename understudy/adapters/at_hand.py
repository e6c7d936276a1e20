"""Which outputs lie in a workspace as dvc.lock names them. To ask DVC takes seconds, before every stage.

A workspace is this project's alone: what was pulled or made there stays until it is pulled or made again. The note of
it is taken back before DVC changes a file, and written once it has.
"""

from collections.abc import Iterable
from pathlib import Path

from understudy.errors import UserError
from understudy.files import read_json, write_json
from understudy.params.loader import read

NOTE, LOCK = ".understudy/at_hand.json", "dvc.lock"


class AtHand:
    """Of the workspace at `root`."""

    def __init__(self, root: Path) -> None:
        self._root, self._note = root, root / NOTE

    def lacking(self, names: Iterable[str]) -> list[str]:
        """Those that are not here, not known to be what dvc.lock names, or not in dvc.lock at all."""
        here, named = self._here(), self._named()
        return [name for name in names
                if name not in named or here.get(name) != named[name] or not (self._root / name).exists()]  # fmt: skip

    def forget(self, names: Iterable[str]) -> None:
        """Before DVC changes these."""
        if self._note.exists():
            gone = set(names)
            write_json(self._note, {name: digest for name, digest in self._here().items() if name not in gone})

    def keep(self, names: Iterable[str]) -> None:
        """Once DVC has made these what dvc.lock names."""
        named = self._named()
        write_json(self._note, self._here() | {name: named[name] for name in names if name in named})

    def _here(self) -> dict[str, str]:
        try:
            return dict(read_json(self._note))
        except (UserError, ValueError, TypeError):
            return {}

    def _named(self) -> dict[str, str]:
        """The hash of every output in dvc.lock."""
        path = self._root / LOCK
        stages = read(path).get("stages", {}) if path.exists() else {}
        return {out["path"]: out["md5"] for entry in stages.values() for out in entry.get("outs", ()) if "md5" in out}
