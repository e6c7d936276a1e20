import socket

import pytest

from understudy.cli import main
from understudy.commands.serve import _bound
from understudy.errors import UserError


def test_accepted_connections_send_at_once():
    """asyncio turns Nagle's algorithm off for sockets that say they are TCP, and for no others."""
    with _bound("127.0.0.1", 0) as listener:
        assert listener.proto == socket.IPPROTO_TCP
        with pytest.raises(ConnectionRefusedError):  # deaf until the network is loaded
            socket.create_connection(listener.getsockname())


def test_an_address_that_is_taken_is_named():
    with _bound("127.0.0.1", 0) as taken:
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(UserError, match=rf"--port {port}: .*--port 0 takes a free one"):
            _bound("127.0.0.1", port)


@pytest.mark.parametrize("option", [("--port", "99999"), ("--threads", "0"), ("--every", "soon")])
def test_a_number_that_makes_no_sense_is_refused(option, capsys):
    with pytest.raises(SystemExit):
        main(["serve", *option])
    assert option[0] in capsys.readouterr().err
