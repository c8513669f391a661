"""The errors of the client. Only `raise_errors=True` lets them out; else they are counted, logged and kept.

ClientError
 ├── Rejected      the service will not take this: `status` and its sentence
 ├── Unavailable   the service did not answer in time, or answered that it cannot now
 └── Closed        the client was closed before this
"""


class ClientError(Exception):
    """What the client can say of an item that did not arrive."""


class Rejected(ClientError):
    """The service will not take this item, or it cannot be written as JSON (then `status` is None)."""

    def __init__(self, detail: str, status: int | None = None) -> None:
        super().__init__(detail)
        self.detail, self.status = detail, status


class Unavailable(ClientError):
    """The service did not answer in time, or answered that it cannot take anything now."""


class Closed(ClientError):
    """The client was closed before this."""
