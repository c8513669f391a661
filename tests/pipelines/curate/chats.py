"""What the tests here share: a configuration, a secret, a key, and the type of the `chat` fixture."""

from collections.abc import Callable

from pipelines.curate.config import CurationConfig
from pipelines.records import Conversation

Chat = Callable[..., Conversation]
CONFIG = CurationConfig(allow_degraded_names=True, timeout_seconds=5)
SECRET = b"surrogate secret of one test"
KEY = b"k" * 32
