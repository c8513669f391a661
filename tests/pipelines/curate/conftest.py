"""One curator and one detector for all tests here: they take seconds to build."""

import pytest

from pipelines.curate.curate import Curator
from pipelines.curate.detect import Detector
from pipelines.records import Conversation, Message, Role
from tests.pipelines.curate.chats import CONFIG, Chat


@pytest.fixture(scope="session")
def detector() -> Detector:
    return Detector(CONFIG)


@pytest.fixture(scope="session")
def curator() -> Curator:
    return Curator(CONFIG)


@pytest.fixture(scope="session")
def chat() -> Chat:
    """Makes a conversation of alternating user and assistant turns, or of (role, content) pairs."""

    def make(*turns: str | tuple[Role, str], language: str | None = None, topic: str | None = None) -> Conversation:
        messages = []
        for index, turn in enumerate(turns):
            role, content = turn if isinstance(turn, tuple) else (("user", "assistant")[index % 2], turn)
            parent = str(index - 1) if index else None
            messages.append(Message(id=str(index), role=role, content=content, parent=parent))  # type: ignore[arg-type]
        return Conversation(id="c1", messages=tuple(messages), language=language, topic=topic)

    return make
