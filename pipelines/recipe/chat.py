"""How chats are written for training and serving."""

from typing import Literal

from pipelines.recipe.section import Section

Reasoning = Literal["keep", "drop", "last"]
Thinking = Literal["on", "off", "low", "medium", "high"]


class ChatRules(Section):
    """What of a stored chat's reasoning is learnt, and whether the model thinks.

    Attributes:
        reasoning: `last` leaves it out of turns before the last question, as clients send chats back; `keep` shows all
            of it, `drop` none. What a template strips stays stripped.
        thinking: the template's switch, fixed in training and in the model that is served; None is its own default.
    """

    reasoning: Reasoning = "last"
    thinking: Thinking | None = None
