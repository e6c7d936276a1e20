"""Requests to a server from several clients at once, each on a connection of its own that it keeps."""

import http.client
import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

PATIENCE = 120.0  # seconds for one answer


@dataclass(frozen=True)
class Request:
    path: str
    body: bytes
    headers: Mapping[str, str] = field(default_factory=dict)
    method: str = "POST"


@dataclass(frozen=True)
class Answer:
    """status: 0 of a connection that broke. seconds: from the first byte sent to the last one received."""

    status: int
    body: bytes
    headers: Mapping[str, str]
    seconds: float


@dataclass
class Load:
    """What came of many requests. reasons: of the connections that broke."""

    statuses: Counter[int] = field(default_factory=Counter)
    seconds: list[float] = field(default_factory=list)
    versions: Counter[str] = field(default_factory=Counter)
    reasons: list[str] = field(default_factory=list)
    elapsed: float = 0.0

    def at(self, share: float) -> float:
        """The latency in milliseconds that so large a share of the requests had at most."""
        ordered = sorted(self.seconds)
        return 1000 * ordered[min(len(ordered) - 1, int(share * len(ordered)))]

    @property
    def rate(self) -> float:
        """Answers a second."""
        return len(self.seconds) / self.elapsed


def ask(connection: http.client.HTTPConnection, request: Request) -> Answer:
    """One request on an open connection. Raises OSError or HTTPException when it breaks."""
    began = time.perf_counter()
    connection.request(request.method, request.path, request.body, dict(request.headers))
    response = connection.getresponse()
    body = response.read()
    headers = {name.lower(): value for name, value in response.getheaders()}
    return Answer(response.status, body, headers, time.perf_counter() - began)


def drive(
    port: int,
    requests: Sequence[Request],
    clients: int,
    each: Callable[[int, Answer], None] = lambda index, answer: None,
) -> Load:
    """Send all requests, in their order, from so many clients. each: told every answer, by one client at a time."""
    load, lock = Load(), threading.Lock()
    waiting = iter(enumerate(requests))

    def client() -> None:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=PATIENCE)
        while True:
            with lock:
                index, request = next(waiting, (-1, None))
            if request is None:
                break
            try:
                answer = ask(connection, request)
            except (OSError, http.client.HTTPException) as error:
                connection.close()  # the next request opens it again
                answer = Answer(0, b"", {}, 0.0)
                with lock:
                    load.reasons.append(repr(error))
            with lock:
                load.statuses[answer.status] += 1
                load.seconds.append(answer.seconds)
                load.versions[answer.headers.get("x-model-version", "")] += 1
                each(index, answer)
        connection.close()

    began = time.perf_counter()
    threads = [threading.Thread(target=client) for _ in range(clients)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    load.elapsed = time.perf_counter() - began
    return load
