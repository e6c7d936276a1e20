"""Ports of loopback for the servers of tests."""

import random
import socket

# Below those that Linux gives to outgoing connections (32768 and up): one of these could be given away between the
# moment it was found free and the moment its server listens on it.
PORTS = range(20000, 32000)


def free_port() -> int:
    """One that nobody listens on."""
    while True:
        # Not seeded by a test: processes side by side would all find the same one.
        port = random.SystemRandom().choice(PORTS)
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
