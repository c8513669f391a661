"""The client of a Perennial service, for apps: calls hand over and return at once, a thread delivers.

from perennial.client import Client

perennial = Client("http://127.0.0.1:8600", spool="/var/lib/shop/perennial")
chat = perennial.conversation(user="ana", consent=True, messages=[
    {"role": "user", "content": "Good morning!"}, {"role": "assistant", "content": "Good morning to you, too!"}])
perennial.vote(chat.messages[-1], "up", user="ana")
"""

from perennial.client.async_client import AsyncClient
from perennial.client.client import Client
from perennial.client.errors import ClientError, Closed, Rejected, Unavailable
from perennial.client.records import Receipt, Rejection, Status, Waiting

__all__ = [
    "AsyncClient",
    "Client",
    "ClientError",
    "Closed",
    "Receipt",
    "Rejected",
    "Rejection",
    "Status",
    "Unavailable",
    "Waiting",
]
