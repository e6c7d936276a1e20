"""The network that is being served, and how another takes its place without a request being lost.

A thread asks now and then which version the address means. Another one is brought, checked, opened and tried beside the
old one, and only then takes over; requests that have begun end with the one they began with. Whatever fails on the way
leaves the old one where it is, is told by /version, /metrics and in the log, and is tried again ever less often.
"""

import logging
import threading
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from understudy.adapters.registry import METRIC_TAG
from understudy.errors import UserError, in_one_line
from understudy.files import sha256
from understudy.serve.batches import Batcher
from understudy.serve.comparison import Comparison, comparison
from understudy.serve.network import Network, Runtime, open_network
from understudy.serve.newcomer import Newcomer
from understudy.serve.sources import Found, Meaning, Source

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
    """The last time that the registry was asked. problem: what is not as it should be there, why no new version was
    taken up, or empty.
    """

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
        self._stopped = threading.Event()
        self._lock = threading.Lock()  # of `users` and `retired`, and of which one is served
        self._coming: Newcomer | None = None
        meaning = self.source.meaning()
        with closing(Newcomer(meaning.version)) as coming:
            self._served = self._load(coming, None)
        self._tell(meaning.doubt)

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
        self._forget()

    def _follow(self, seconds: float) -> None:
        while not self._stopped.wait(seconds):
            self.look()

    @property
    def failed(self) -> int:
        """Attempts to take up the version that the address means, so far without success."""
        coming = self._coming  # another thread may forget it
        return coming.failed if coming else 0

    def look(self) -> None:
        """Take up another version if the address means one now. Never raises: what goes wrong is told."""
        try:
            problem = self._come_to(self.source.meaning())
        except Exception as error:  # of whatever kind: the old one serves on
            problem = self._explained(error)
        self._tell(problem)

    def _come_to(self, meaning: Meaning) -> str:
        """Serve what the address means, if it is time to try; what is to be told."""
        coming = self._newcomer(meaning.version)
        if coming is None:
            return meaning.doubt
        if not coming.due():
            return coming.problem
        try:
            self._take_up(self._load(coming, self._served))
        except Exception as error:
            coming.fail(self._explained(error))
            return coming.problem
        self._forget()
        return meaning.doubt

    def _newcomer(self, version: str) -> Newcomer | None:
        """The version that the address means, unless it is served. What was brought of any other is removed."""
        served = version == self._served.found.version
        if self._coming is not None and (served or self._coming.version != version):
            self._forget()
        if self._coming is None and not served:
            self._coming = Newcomer(version)
        return self._coming

    def _forget(self) -> None:
        if self._coming is not None:
            self._coming.close()
        self._coming = None

    def _explained(self, error: Exception) -> str:
        if isinstance(error, UserError):
            return in_one_line(error)
        # A bug, or a store that fails in a way of its own.
        LOG.error("%s: taking up another version failed", self.source.address, exc_info=error)
        return f"{type(error).__name__}: {in_one_line(error)}"

    def _tell(self, problem: str) -> None:
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

    def _load(self, coming: Newcomer, before: Served | None) -> Served:
        found = coming.bring(self.source)
        if missing := [name for name in NEEDED if name not in found.files]:
            raise UserError(f"{self.source.address}: version {found.version} has no file for {', '.join(missing)}")
        network = open_network(found.files, self.runtime, self.threads)
        beside = comparison(self.root, found, network, before.comparison if before else None)
        used = {*NEEDED, *({network.runtime} - {"torch"})}
        digests = {name: sha256(path) for name, path in found.files.items() if name in used}
        return Served(found, network, Batcher(network.translate, network.fitting, self.batched), beside, digests, now())
