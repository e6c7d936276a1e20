"""The network that is being served, and how another takes its place without a request being lost.

A thread asks now and then which version the address means. Another one is brought, checked, opened and tried beside the
old one, and only then takes over; requests that have begun end with the one they began with. Whatever fails on the way
leaves the old one where it is, and is told by /version and in the log.
"""

import logging
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from understudy.adapters.registry import METRIC_TAG
from understudy.errors import UserError, in_one_line
from understudy.files import sha256
from understudy.serve.batches import Batcher
from understudy.serve.comparison import Comparison, comparison
from understudy.serve.network import Network, Runtime, open_network
from understudy.serve.sources import Found, Source

LOG = logging.getLogger("understudy.serve")
NEEDED = ("arch", "weights", "dataset")


@dataclass
class Served:
    """A version, with the thread that runs it. digests: SHA-256 of its files, by name. users: requests in progress."""

    found: Found
    network: Network
    batcher: Batcher
    comparison: Comparison
    digests: dict[str, str]
    since: datetime
    users: int = 0
    retired: bool = False

    @property
    def name(self) -> str:
        return f"{self.found.model} version {self.found.version}"

    @property
    def metrics(self) -> dict[str, float]:
        """As the gate had them when this version was promoted."""
        tags = self.found.tags.items()
        return {name.removeprefix(METRIC_TAG): float(value) for name, value in tags if name.startswith(METRIC_TAG)}


@dataclass(frozen=True)
class Looked:
    """The last time that the registry was asked. problem: why no new version was taken up, or empty."""

    at: datetime
    problem: str = ""


def now() -> datetime:
    return datetime.now(UTC).replace(microsecond=0)


@dataclass
class Champion:
    """root: where the teacher and the samples of the page may lie. batched: told the size of every batch."""

    source: Source
    root: Path
    runtime: Runtime | None
    threads: int
    batched: Callable[[int], None] = lambda count: None
    looked: Looked = field(default_factory=lambda: Looked(now()))
    takeovers: int = 0

    def start(self) -> None:
        """Load what is to be served first. Raises UserError when it cannot be."""
        self._served = self._load(None)
        self._stopped = threading.Event()
        self._lock = threading.Lock()  # of `users` and `retired`, and of which one is served

    @property
    def served(self) -> Served:
        return self._served

    @contextmanager
    def lease(self) -> Iterator[Served]:
        """The version that a request begins with, and keeps."""
        with self._lock:
            served = self._served
            served.users += 1
        try:
            yield served
        finally:
            with self._lock:
                served.users -= 1
                unused = served.retired and not served.users
            if unused:
                served.batcher.close()

    def follow(self, seconds: float) -> None:
        """Ask every so many seconds, in a thread of its own, what the address means, until `stop`."""
        threading.Thread(target=self._follow, args=(seconds,), name="follow", daemon=True).start()

    def stop(self) -> None:
        self._stopped.set()

    def _follow(self, seconds: float) -> None:
        while not self._stopped.wait(seconds):
            self.look()

    def look(self) -> None:
        """Take up another version if the address means one now. Never raises: what goes wrong is told."""
        problem = ""
        try:
            if self.source.version() != self._served.found.version:
                self._take_up(self._load(self._served))
        except UserError as error:
            problem = in_one_line(error)
        except Exception as error:  # a bug, or a store that fails in a way of its own: the old one serves on
            LOG.exception("%s: looking for another version failed", self.source.address)
            problem = f"{type(error).__name__}: {in_one_line(error)}"
        if problem and problem != self.looked.problem:
            LOG.warning("%s goes on being served: %s", self._served.name, problem)
        self.looked = Looked(now(), problem)

    def _take_up(self, served: Served) -> None:
        with self._lock:
            old, self._served = self._served, served
            old.retired = True
            unused = not old.users
        self.takeovers += 1
        LOG.info("%s takes over from %s", served.name, old.name)
        if unused:
            old.batcher.close()

    def _load(self, before: Served | None) -> Served:
        with tempfile.TemporaryDirectory() as folder:
            found = self.source.fetch(Path(folder))
            if missing := [name for name in NEEDED if name not in found.files]:
                raise UserError(f"{self.source.address}: version {found.version} has no file for {', '.join(missing)}")
            network = open_network(found.files, self.runtime, self.threads)
            beside = comparison(self.root, found, network, before.comparison if before else None)
            used = {*NEEDED, *({network.runtime} - {"torch"})}
            digests = {name: sha256(path) for name, path in found.files.items() if name in used}
        return Served(found, network, Batcher(network.translate, network.fitting, self.batched), beside, digests, now())
