"""Which user of this machine is at the other end of a loopback connection. Linux says it; elsewhere nobody does.

/proc/net/tcp    sl  local_address rem_address   st ...      uid  timeout inode
                  4: 0100007F:C35A 0100007F:2198 01 ...     1000        0 81234
"""

import asyncio
import os
import socket
import struct
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import uvicorn
from starlette.requests import Request

NOBODY = -1
Address = tuple[str, int]
_TABLES = (Path("/proc/net/tcp"), Path("/proc/net/tcp6"))


class Peers:
    """The connections that are open now, and whose they are; looked up once each, when somebody asks."""

    def __init__(self) -> None:
        self._users: dict[Address, int | None] = {}
        self._not_asked: set[Address] = set()

    def watch(self, config: uvicorn.Config) -> None:
        """Note the connections of a server that is about to start with this configuration."""
        config.load()
        make = config.http_protocol_class

        def watched(*args: Any, **options: Any) -> asyncio.Protocol:
            protocol = make(*args, **options)
            made, lost = protocol.connection_made, protocol.connection_lost
            names: list[Address] = []

            def connection_made(transport: Any) -> None:
                names.extend(_names(transport))
                self._not_asked.update(names)
                made(transport)

            def connection_lost(error: Exception | None) -> None:
                self._forget(names)
                lost(error)

            protocol.connection_made, protocol.connection_lost = connection_made, connection_lost  # type: ignore[method-assign, assignment]
            return protocol

        config.http_protocol_class = watched  # type: ignore[assignment]  # it asks for a class, and only calls it

    def user(self, peer: Address, ours: Address) -> int | None:
        """The number of the user whose process is `peer`; NOBODY if it is gone, None if this machine does not say."""
        if peer in self._not_asked:
            self._users[peer] = look_up(peer, ours)
            self._not_asked.remove(peer)
        return self._users.get(peer)

    def _forget(self, names: Sequence[Address]) -> None:
        for name in names:
            self._not_asked.discard(name)
            self._users.pop(name, None)


def user_of(request: Request) -> int | None:
    """As `Peers.user`, for the process that sent a request."""
    peers: Peers = request.app.state.peers
    client, server = request.client, request.scope.get("server")
    return peers.user((client.host, client.port), (server[0], server[1])) if client and server else None


def our_user() -> int:
    """The number of the user who runs this process."""
    return os.getuid()


def look_up(peer: Address, ours: Address) -> int | None:
    """`Peers.user` from the system's tables. A socket without an inode has been left by its process."""
    far, near, is_open = _written(peer), _written(ours), False
    for table in _TABLES:
        lines = table.read_text().splitlines()[1:] if table.is_file() else []
        for fields in map(str.split, lines):
            if fields[1:3] == [far, near]:
                return NOBODY if fields[9] == "0" else int(fields[7])
            is_open = is_open or fields[1:3] == [near, far]
    return NOBODY if is_open else None


def _names(transport: Any) -> list[Address]:
    """The other end of a connection, in a list that is empty where it has no address."""
    name = transport.get_extra_info("peername")
    return [(name[0], name[1])] if isinstance(name, tuple) else []


def _written(address: Address) -> str:
    """An address as the tables write it: words in the machine's own byte order."""
    family = socket.AF_INET6 if ":" in address[0] else socket.AF_INET
    packed = socket.inet_pton(family, address[0])
    words = struct.unpack(f"={len(packed) // 4}I", packed)
    return "".join(f"{word:08X}" for word in words) + f":{address[1]:04X}"
