"""Answers that were stored with their thinking in front, taken apart.

"plan</think>\\n\\nDone."            ->  "plan", "Done."      the template had opened it already
"<think>\\nplan\\n</think>Done."     ->  "plan", "Done."
"<think>plan"                       ->  unchanged            without an end, nobody knows where the answer begins
"""

import re

from pipelines.records import Conversation, Message

_MARKS = (("<think>", "</think>"), ("<thinking>", "</thinking>"), ("[THINK]", "[/THINK]"))
_CLOSED = tuple(
    re.compile(rf"\s*(?:{re.escape(start)})?(?P<plan>.*?){re.escape(end)}\s*", re.DOTALL) for start, end in _MARKS
)


def split_thinking(text: str) -> tuple[str, str]:
    """The reasoning in front of an answer, and the answer; no reasoning and the text where there is none.

    Only one closed passage at the beginning counts: a tag further in is something that the answer speaks of.
    """
    for pattern, (start, _) in zip(_CLOSED, _MARKS, strict=True):
        found = pattern.match(text)
        if found is not None and start not in found["plan"] and "```" not in found["plan"]:
            return found["plan"].strip(), text[found.end() :]
    return "", text


def take_apart(conversation: Conversation) -> Conversation:
    """The conversation with the thinking that stands in front of an answer where reasoning belongs."""
    return conversation.model_copy(update={"messages": tuple(map(_without_thinking, conversation.messages))})


def _without_thinking(message: Message) -> Message:
    reasoning, content = split_thinking(message.content) if message.role == "assistant" else ("", message.content)
    if content == message.content:
        return message
    both = "\n".join(part for part in (message.reasoning, reasoning) if part)
    return message.model_copy(update={"reasoning": both, "content": content})
