"""A model's chat template in the language of Ollama, which reads Go templates: derived by asking, and proven.

    {{ range .Messages }}{{ if eq .Role "user" }}<|im_start|>user
    {{ .Content }}<|im_end|>
    {{ else if ... }}{{ end }}{{ end }}<|im_start|>assistant

The Jinja template renders chats of marks; what stands around the marks are the pieces. The pieces must then render other
chats to the same text as the Jinja template does, or there is no such template and a sentence says so. White space at
the edges of a message, which some Jinja templates cut away, is not compared; tools and reasoning are not in it.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from pipelines.chat import render
from pipelines.errors import ModelError

Message = dict[str, str]
_SYSTEM, _USER, _ANSWER, _NEXT = "\ue0a1S\ue0a1", "\ue0a2U\ue0a2", "\ue0a3A\ue0a3", "\ue0a4V\ue0a4"
_PROBES = ("Hi", "Two\nlines {of} text", "Ünïcode, текст, 日本語", 'a "quote" and </tags>', "{{ braces }} `ticks`")


@dataclass(frozen=True)
class Pieces:
    """What stands around the messages. `opening` stands before chats without a system message; `after_system` is what
    begins the user's turn right behind one."""

    opening: str
    system: tuple[str, str]
    user: tuple[str, str]
    answer: tuple[str, str]
    after_system: str
    ask: str

    def render(self, chat: Sequence[Message]) -> str:
        """The prompt of a chat as the Go template renders it."""
        text = "" if chat[0]["role"] == "system" else self.opening
        for place, message in enumerate(chat):
            before, after = {"system": self.system, "user": self.user, "assistant": self.answer}[message["role"]]
            if place == 1 and message["role"] == "user" and chat[0]["role"] == "system":
                before = self.after_system
            text += before + message["content"] + after
        return text + self.ask

    def go(self) -> str:
        """The Go template; no mark of it trims white space, so that every byte stands as it is written."""
        user = _literal(self.user[0])
        if self.after_system != self.user[0]:
            user = (
                '{{ if and (eq $i 1) (eq (index $.Messages 0).Role "system") }}'
                f"{_literal(self.after_system)}{{{{ else }}}}{user}{{{{ end }}}}"
            )
        opening = _literal(self.opening)
        if opening:
            opening = f'{{{{ if .Messages }}}}{{{{ if ne (index .Messages 0).Role "system" }}}}{opening}{{{{ end }}}}{{{{ end }}}}'
        return (
            f'{opening}{{{{ range $i, $m := .Messages }}}}{{{{ if eq .Role "system" }}}}{_said(self.system)}'
            f'{{{{ else if eq .Role "user" }}}}{user}{{{{ .Content }}}}{_literal(self.user[1])}'
            f'{{{{ else if eq .Role "assistant" }}}}{_said(self.answer)}{{{{ end }}}}{{{{ end }}}}{_literal(self.ask)}'
        )


def derive_pieces(template: str, bos: str = "", eos: str = "") -> Pieces:
    """The pieces of a Jinja chat template, proven on other chats; `bos` is left out at the head, as the server adds it.

    Raises:
        ModelError: the template cannot be put into pieces: what it writes around a message depends on more than its role.
    """

    def ask(chat: Sequence[Message], generate: bool = True) -> str:
        text = render(template, chat, escape=str, generate=generate, bos_token=bos, eos_token=eos)
        return text.removeprefix(bos) if bos else text

    try:
        pieces = _cut(ask)
    except (ValueError, ModelError) as error:
        raise ModelError(f"its chat template cannot be written in Ollama's language: {error}") from error
    _prove(pieces, ask)
    return pieces


def _cut(ask: Callable[..., str]) -> Pieces:
    user, answer, more = _turn("user", _USER), _turn("assistant", _ANSWER), _turn("user", _NEXT)
    head, tail = _around(ask([user], False), _USER)
    prompt = ask([user])
    if not prompt.startswith(head + _USER + tail):
        raise ValueError("it writes the first turn differently once an answer is asked for")
    _, between, last = _parts(ask([user, answer, more], False), _USER, _ANSWER, _NEXT)[1:]
    before_answer = _parts(ask([user, answer, more], False), _USER, _ANSWER, _NEXT)[1].removeprefix(tail)
    after_answer = _parts(ask([user, answer], False), _USER, _ANSWER)[2]
    before_user = between.removeprefix(after_answer)
    if last != tail or not head.endswith(before_user):
        raise ValueError("it writes the first turn differently from later ones")
    before_system, gap, _ = _parts(ask([_turn("system", _SYSTEM), user], False), _SYSTEM, _USER)
    after_system = gap.removesuffix(before_user)
    follows = before_user if gap.endswith(before_user) else ""
    return Pieces(
        opening=head.removesuffix(before_user),
        system=(before_system, after_system),
        user=(before_user, tail),
        answer=(before_answer, after_answer),
        after_system=follows,
        ask=prompt.removeprefix(head + _USER + tail),
    )


def _prove(pieces: Pieces, ask: Callable[..., str]) -> None:
    turns = [_turn("assistant" if place % 2 else "user", text) for place, text in enumerate(_PROBES)]
    for chat in (turns[:1], turns[:3], turns):
        for whole in (chat, [_turn("system", "Be brief.\nAnswer in Korean."), *chat]):
            if pieces.render(whole) != ask(whole):
                raise ModelError(
                    "its chat template cannot be written in Ollama's language: what stands around a message depends on "
                    f"more than its role (seen on a chat of {len(whole)} messages)"
                )


def _turn(role: str, text: str) -> Message:
    return {"role": role, "content": text}


def _around(text: str, mark: str) -> tuple[str, str]:
    before, after = _parts(text, mark)
    return before, after


def _parts(text: str, *marks: str) -> list[str]:
    """What stands around each mark, which must stand there once and in this order."""
    parts = []
    for mark in marks:
        before, found, text = text.partition(mark)
        if not found or mark in text:
            raise ValueError("it does not write every message once")
        parts.append(before)
    return [*parts, text]


def _said(around: tuple[str, str]) -> str:
    return f"{_literal(around[0])}{{{{ .Content }}}}{_literal(around[1])}"


def _literal(text: str) -> str:
    """Text as a Go template says it."""
    return text.replace("{{", '{{ "{{" }}')
