"""Answers that were stored with their thinking in front, taken apart.

"plan</think>\\n\\nDone."            ->  "plan", "Done."      the template had opened it already
"<think>\\nplan\\n</think>Done."     ->  "plan", "Done."
"<think>plan"                       ->  unchanged            without an end, nobody knows where the answer begins
"Done.</s>"                         ->  "", "Done."          what ends a turn is the template's to write
"""

import re

from pipelines.records import Conversation, Message

_MARKS = (("<think>", "</think>"), ("<thinking>", "</thinking>"), ("[THINK]", "[/THINK]"))
_CLOSED = tuple(
    re.compile(rf"\s*(?:{re.escape(start)})?(?P<plan>.*?){re.escape(end)}\s*", re.DOTALL) for start, end in _MARKS
)

_END = r"(?:</s>|<eos>|< ?\|(?:im_end|eot_id|eom_id|end|endoftext|end_of_text|end_of_turn|eos)\|>|<end_of_turn>)"
_ENDS = re.compile(rf"\s*(?:{_END}\s*)+$")
_STRAY = re.compile(
    rf"</?think(?:ing)?>|\[/?THINK\]|</?s>|{_END}|\[/?INST\]|<</?SYS>>|<bos>|<start_of_turn>|"
    r"< ?\|(?:im_start|start_header_id|end_header_id|begin_of_text|channel|message|start|assistant|user|system)\|>"
)
_CODE = re.compile(r"```.*?(?:```|\Z)|`[^`\n]{1,400}`|[\"“][^\"”\n]{1,60}[\"”]", re.DOTALL)


def split_thinking(text: str) -> tuple[str, str]:
    """The reasoning in front of an answer, and the answer; no reasoning and the text where there is none.

    Only one closed passage at the beginning counts: a tag further in is something that the answer speaks of.
    """
    for pattern, (start, _) in zip(_CLOSED, _MARKS, strict=True):
        found = pattern.match(text)
        if found is not None and start not in found["plan"] and "```" not in found["plan"]:
            return found["plan"].strip(), text[found.end() :]
    return "", text


def has_stray_marks(text: str) -> bool:
    """Whether an answer holds marks of thinking or of turns that only a template writes; in code they are what it is about.

    `<think>` without an end, a `</think>` further in, `[THINK]`, `</s>`, `[INST]`, `<|im_end|>`.
    """
    return _STRAY.search(text) is not None and _STRAY.search(_CODE.sub(" ", text)) is not None


def take_apart(conversation: Conversation) -> Conversation:
    """The conversation with the thinking that stands in front of an answer where reasoning belongs."""
    return conversation.model_copy(update={"messages": tuple(map(_without_thinking, conversation.messages))})


def _without_thinking(message: Message) -> Message:
    if message.role != "assistant":
        return message
    reasoning, content = split_thinking(message.content)
    content = _ENDS.sub("", content) or content
    if content == message.content:
        return message
    both = "\n".join(part for part in (message.reasoning, reasoning) if part)
    return message.model_copy(update={"reasoning": both, "content": content})
