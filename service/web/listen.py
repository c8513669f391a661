"""The sockets that the web process listens on: taken before anything is promised, and kept while it starts again."""

import errno
import socket

from pipelines.errors import Busy, InputError
from service.obstacles import port_taken

_BACKLOG = 2048


def open_sockets(host: str, port: int) -> list[socket.socket]:
    """A listening socket for every address that the host stands for.

    Raises:
        Busy: another program listens there already.
        InputError: the host is no address of this machine.
    """
    found: list[socket.socket] = []
    try:
        for family, address in _addresses(host, port):
            try:
                found.append(socket.create_server(address, family=family, backlog=_BACKLOG))
            except OSError as error:
                if error.errno != errno.EADDRNOTAVAIL or not found:  # localhost has an IPv6 address that may be off
                    raise
    except (OSError, UnicodeError) as error:
        for one in found:
            one.close()
        if isinstance(error, OSError) and error.errno == errno.EADDRINUSE:
            raise Busy(port_taken(host, port).line()) from error
        why = getattr(error, "strerror", None) or str(error)
        raise InputError(
            f"{host[:80]}:{port} cannot be listened on ({why}): set PERENNIAL_HOST and PERENNIAL_PORT"
        ) from error
    return found


def adopt_sockets(numbers: str) -> list[socket.socket]:
    """The listening sockets that `perennial up` handed down, by their file numbers: "5,6"."""
    return [socket.socket(fileno=int(number)) for number in numbers.split(",")]


def _addresses(host: str, port: int) -> list[tuple[socket.AddressFamily, tuple[str, int]]]:
    """IPv4 first: it is what a name without a zone means to most."""
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    unique = dict.fromkeys((family, address[:2]) for family, _, _, _, address in found)
    return sorted(((family, (str(name), int(number))) for family, (name, number) in unique), key=lambda one: one[0])
