"""One stage on several hosts: the first calls the others, tells them what to run, and knows when one is gone.

The environment says, in torchrun's words, which of how many hosts this is and where the first one is found: NNODES,
NODE_RANK, MASTER_ADDR and MASTER_PORT. On the first one a stage is run as ever, by hand or by DVC; on the others
`understudy follow` answers its calls. While a stage runs there is one connection to each of them, on which every line
is a JSON object: its end is how a host that dies, or is cut off, is noticed. Imports no torch.
"""

import contextlib
import json
import os
import select
import socket
import sys
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from understudy.errors import UserError

PORT = 29500  # torchrun's
MUSTER = 600.0  # seconds that the first host waits for the others
RETRY = 1.0  # seconds between two attempts to reach the first one
PROMPT = 5.0  # seconds in which whoever connects must have said who it is
LONGEST = 1 << 16  # bytes of a message
SPOKEN = 1  # the number of these messages' form: raise it with any change that older code would not understand


@dataclass(frozen=True)
class Place:
    """index: of this host, from 0, among `count`. address, port: where the first one answers."""

    index: int
    count: int
    address: str
    port: int


def place() -> Place:
    """What the environment says. Raises UserError, naming the variable, for what makes no sense."""
    count = _number("NNODES", 1)
    if count < 1:
        raise UserError(f"NNODES: {count}: must be positive")
    if count == 1:
        return Place(0, 1, "127.0.0.1", PORT)
    index = _number("NODE_RANK", None)
    if not 0 <= index < count:
        raise UserError(f"NODE_RANK: {index}: {count} hosts (NNODES) have the numbers 0 to {count - 1}")
    if not (address := os.environ.get("MASTER_ADDR")):
        raise UserError("MASTER_ADDR: missing; set it to the name or address of the host whose NODE_RANK is 0")
    return Place(index, count, address, _number("MASTER_PORT", PORT))


def _number(name: str, default: int | None) -> int:
    text = os.environ.get(name, "").strip() or ("" if default is None else str(default))
    if not text.isdecimal():
        raise UserError(f"{name}: {text or 'missing'}: with several hosts it must be a whole number")
    return int(text)


class Gone(Exception):
    """The other end of a connection has closed it, or does not speak as this one does."""


class Link:
    """A connection to another host. host: its number."""

    def __init__(self, connection: socket.socket, host: int) -> None:
        connection.setblocking(True)
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        if sys.platform == "linux":  # a host that lost its power or its network is gone after 40 s, not after hours
            for option, value in ((socket.TCP_KEEPIDLE, 10), (socket.TCP_KEEPINTVL, 10), (socket.TCP_KEEPCNT, 3)):
                connection.setsockopt(socket.IPPROTO_TCP, option, value)
        self.host = host
        self._connection, self._read = connection, b""

    def say(self, **message: Any) -> None:
        """To one that is gone: nothing. That is heard."""
        with contextlib.suppress(OSError):
            self._connection.sendall(json.dumps(message).encode() + b"\n")

    def heard(self, wait: float = 0.0) -> Mapping[str, Any] | None:
        """The next message, or None when none came within `wait` seconds. Raises Gone."""
        deadline = time.monotonic() + wait
        while b"\n" not in self._read:
            if not select.select([self._connection], [], [], max(0.0, deadline - time.monotonic()))[0]:
                return None
            try:
                received = self._connection.recv(LONGEST)
            except OSError as error:
                raise Gone from error
            self._read += received
            if not received or len(self._read) > LONGEST:
                raise Gone
        line, _, self._read = self._read.partition(b"\n")
        try:
            message = json.loads(line)
        except ValueError as error:
            raise Gone from error
        if not isinstance(message, dict):
            raise Gone
        return message

    def hang_up(self) -> None:
        """Let the other end hear that nothing more comes; what it says is still heard."""
        with contextlib.suppress(OSError):
            self._connection.shutdown(socket.SHUT_WR)

    def close(self) -> None:
        self._connection.close()


@contextlib.contextmanager
def called(here: Place) -> Iterator[list[Link]]:
    """Links to all other hosts, once they are there. Raises UserError when some are not in time."""
    links: dict[int, Link] = {}
    deadline = time.monotonic() + MUSTER
    try:
        with _door(here.port) as door:
            while len(links) < here.count - 1:
                if (left := deadline - time.monotonic()) <= 0:
                    missing = ", ".join(str(index) for index in range(1, here.count) if index not in links)
                    raise UserError(
                        f"of {here.count} hosts (NNODES) those with NODE_RANK {missing} did not come to port "
                        f"{here.port} within {MUSTER:.0f} s; start `understudy follow` on each"
                    )
                if select.select([door], [], [], left)[0]:
                    link = _welcomed(door.accept()[0], here)
                    if link is not None:
                        if link.host in links:
                            links[link.host].close()  # of one that was started again
                        links[link.host] = link
        yield [links[index] for index in sorted(links)]
    finally:
        for link in links.values():
            link.close()


def _door(port: int) -> socket.socket:
    both = socket.has_dualstack_ipv6()
    family = socket.AF_INET6 if both else socket.AF_INET
    try:
        return socket.create_server(("", port), family=family, dualstack_ipv6=both, backlog=128)
    except OSError as error:
        raise UserError(f"MASTER_PORT: {port}: cannot be listened on: {error.strerror}; choose another one") from error


def _welcomed(connection: socket.socket, here: Place) -> Link | None:
    """A link to the host that has just connected; None for whoever else it was."""
    link = Link(connection, 0)
    with contextlib.suppress(Gone):
        said = link.heard(PROMPT) or {}
        if "understudy" in said and (said["understudy"], said.get("hosts")) != (SPOKEN, here.count):
            link.close()
            raise UserError(
                f"NNODES: {here.count} here, and {said.get('hosts')} on a host that follows; its messages have form "
                f"{said['understudy']}, and here {SPOKEN}: give all hosts one NNODES and one version of understudy"
            )
        if "understudy" in said and said.get("host") in range(1, here.count):
            link.host = said["host"]
            return link
    link.close()
    return None


def answered(here: Place, wait: float) -> tuple[Link, Mapping[str, Any]] | None:
    """The first host's next call, or None when none came within `wait` seconds."""
    deadline = time.monotonic() + wait
    while (left := deadline - time.monotonic()) > 0:
        try:
            link = Link(socket.create_connection((here.address, here.port), timeout=min(PROMPT, left)), 0)
        except OSError:  # it does not listen now, or its name is not known yet
            time.sleep(min(RETRY, left))
            continue
        try:
            link.say(understudy=SPOKEN, hosts=here.count, host=here.index)
            if (call := link.heard(max(0.0, deadline - time.monotonic()))) is not None:
                return link, call
        except Gone:  # it stopped waiting for the others
            time.sleep(RETRY)
        except BaseException:
            link.close()
            raise
        link.close()
    return None
