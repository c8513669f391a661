"""How long a process waits for PostgreSQL before it says that the database does not answer.

The server's own time-outs end a slow statement and a wait for a lock. They end nothing where the server itself hangs (a
stopped process, a dead disk, a firewall that drops packets), so the client's side of every wait has one too.
"""

from typing import Any

import psycopg
from psycopg.abc import RV, PQGen
from psycopg.errors import OperationalError, _WaitTimeout

CONNECT_SECONDS = 5
POOL_SECONDS = 5.0
LOCK_SECONDS = 10
STATEMENT_SECONDS = 15
SILENT_SECONDS = 20.0  # longer than what the server ends itself, whose error says more


class LimitedConnection(psycopg.Connection[Any]):
    """A connection that is given up once the server was silent for too long in the middle of an exchange."""

    def wait(self, gen: PQGen[RV], interval: float = 0.1, timeout: float | None = None) -> RV:
        """Runs one exchange with the server; OperationalError, and the connection closed, where it falls silent."""
        try:
            return super().wait(gen, interval, SILENT_SECONDS if timeout is None else timeout)
        except _WaitTimeout as error:
            if timeout is not None:
                raise
            self.pgconn.finish()  # what it was about to answer must not be taken for the answer to something else
            raise OperationalError(f"the server said nothing for {SILENT_SECONDS:.0f} s") from error


def connect_with_limits(_dialect: object, _record: object, arguments: list[Any], options: dict[str, Any]) -> Any:
    """SQLAlchemy's event `do_connect`: a connection with all of these limits."""
    connection = LimitedConnection.connect(*arguments, **{"connect_timeout": CONNECT_SECONDS} | options)
    try:
        connection.autocommit = True
        connection.execute(f"SET statement_timeout = '{STATEMENT_SECONDS}s'; SET lock_timeout = '{LOCK_SECONDS}s'")
        connection.autocommit = False
    except BaseException:
        connection.close()
        raise
    return connection
