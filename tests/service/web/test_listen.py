"""The sockets of the web process: taken at once, or refused in a sentence."""

import socket

import pytest

from pipelines.errors import Busy, InputError
from service.web.listen import adopt_sockets, open_sockets


def test_a_port_that_another_program_listens_on_is_refused_with_another_one() -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        with pytest.raises(Busy, match=rf"listens on 127.0.0.1:{port} already. .*PERENNIAL_PORT={port + 1} "):
            open_sockets("127.0.0.1", port)
    [taken] = open_sockets("127.0.0.1", port)
    taken.close()


@pytest.mark.parametrize("host", ["192.0.2.1", "no.such.host.invalid", "", "a" * 300, "x y", "\0"])
def test_an_address_that_is_not_this_machines_is_refused(host: str) -> None:
    with pytest.raises(InputError, match="cannot be listened on"):
        open_sockets(host, 8600)


def test_a_name_of_two_addresses_gets_a_socket_for_each_that_works() -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    opened = open_sockets("localhost", port)
    assert "127.0.0.1" in [one.getsockname()[0] for one in opened]
    for one in opened:
        one.close()


def test_sockets_that_were_handed_down_accept_connections() -> None:
    [opened] = open_sockets("127.0.0.1", 0)
    [adopted] = adopt_sockets(str(opened.detach()))
    with adopted, socket.create_connection(adopted.getsockname()):
        accepted, _ = adopted.accept()
        accepted.close()
