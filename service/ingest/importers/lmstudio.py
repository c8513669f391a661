"""LM Studio's stored chats, one file each (<milliseconds>.conversation.json).

    {"name": "Time", "createdAt": 1795000000123, "lastUsedModel": {"identifier": "m"},
     "perChatPredictionConfig": {"fields": [{"key": "llm.prediction.systemPrompt", "value": "Be brief."}]},
     "messages": [
       {"currentlySelected": 0, "versions": [{"role": "user", "content": [{"type": "text", "text": "The time?"}]}]},
       {"currentlySelected": 1, "versions": [
         {"role": "assistant", "steps": [{"type": "contentBlock", "content": [{"type": "text", "text": "Late."}]}]},
         {"role": "assistant", "steps": [
           {"type": "contentBlock", "style": {"type": "thinking"}, "content": [{"type": "text", "text": "Hm."}]},
           {"type": "contentBlock", "content": [{"type": "text", "text": "Nine."}]}]}]}]}

Versions of a turn are regenerations, and stay beside one another; the chat goes on behind the selected one, which is no
vote for it. There are no ids: a turn is known by its place and version.
"""

from collections.abc import Iterator
from typing import Any

from service.ingest.importers.datasets import content_id
from service.ingest.importers.dialect import role_of
from service.ingest.importers.items import Entry, Format, NotTaken, Options, Thing, each, inside, moment
from service.ingest.importers.pieces import Notes, block_text, notes_of, steps_of
from service.ingest.importers.turns import Drop, Say, Step, Think, answer_messages
from service.ingest.importers.values import Object, label_of, object_of, objects_of
from service.ingest.wire import ConversationIn, MessageIn, State

_SYSTEM = "llm.prediction.systemPrompt"
_CUT = ("userStopped", "maxPredictedTokensReached", "contextLengthReached", "modelUnloaded")


def convert(entry: Entry, options: Options) -> Iterator[Thing]:
    """The conversation of a file."""
    given, notes = object_of(entry.decode(), "conversation"), Notes()
    turns = objects_of(given.get("messages"), "messages")
    if not turns:
        raise NotTaken("no_messages", "there are no messages in it")
    at = given.get("createdAt")
    name = f"lmstudio-{at}" if isinstance(at, int) else content_id("lmstudio", given)
    model = label_of(object_of(given.get("lastUsedModel"), "lastUsedModel").get("identifier"))
    messages: list[MessageIn] = []
    if system := _system(given):
        messages.append(MessageIn("system", system, inside(name, "system")))
    parent = messages[-1].id if messages else None
    for number, turn in enumerate(turns):
        made = list(_versions(turn, inside(name, str(number)), parent, model, notes))
        messages += [message for version in made for message in version]
        selected = turn.get("currentlySelected")
        parent = made[selected if isinstance(selected, int) and 0 <= selected < len(made) else -1][-1].id
    yield ConversationIn(
        id=name, user=options.person(None, name), messages=tuple(messages), model=model, time=moment(at)
    )
    yield from notes_of(notes)


def _versions(turn: Object, id: str, parent: str | None, model: str | None, notes: Notes) -> Iterator[list[MessageIn]]:
    versions = objects_of(turn.get("versions"), "versions")
    if not versions:
        raise NotTaken("unknown_shape", "a turn in it has no version")
    for number, version in enumerate(versions):
        role, name = role_of(version.get("role")), inside(id, str(number))
        steps = list(_steps(version, notes))
        if role == "assistant":
            own = label_of(*(_info(step).get("identifier") for step in objects_of(version.get("steps"), "steps")))
            yield list(answer_messages(name, parent, steps, model=own or model, state=_state(version))[0])
        else:
            text = "".join(step.text for step in steps if isinstance(step, Say))
            parts = tuple(step.part for step in steps if isinstance(step, Drop))
            yield [MessageIn(role, text, name, parent, parts=parts)]


def _steps(version: Object, notes: Notes) -> Iterator[Step]:
    """What a version says: its own content, or that of its steps, of which some only show how far it was."""
    yield from steps_of(version.get("content"), notes)
    for step in objects_of(version.get("steps"), "steps"):
        if step.get("type") != "contentBlock":
            continue
        if object_of(step.get("style"), "style").get("type") == "thinking":
            yield Think("".join(block_text(block) for block in objects_of(step.get("content"), "content")))
        else:
            yield from steps_of(step.get("content"), notes)


def _state(version: Object) -> State:
    reasons = [_info(step).get("stats") for step in objects_of(version.get("steps"), "steps")]
    last = next((one.get("stopReason") for one in reasons[::-1] if isinstance(one, dict)), None)
    if last == "failed":
        return "error"
    return "unfinished" if last in _CUT else "complete"


def _info(step: Object) -> Object:
    return object_of(step.get("genInfo"), "genInfo")


def _system(given: Object) -> str:
    """The system prompt, which newer versions keep among the settings of the chat."""
    config = object_of(given.get("perChatPredictionConfig"), "perChatPredictionConfig")
    fields: list[Any] = [
        one.get("value") for one in objects_of(config.get("fields"), "fields") if one.get("key") == _SYSTEM
    ]
    return label_of(*fields, given.get("systemPrompt")) or ""


def _recognises(first: Any) -> bool:
    return isinstance(first.get("messages"), list) and any("versions" in one for one in first["messages"])


FORMAT = Format(
    name="lmstudio",
    title="LM Studio: stored chats (.conversation.json)",
    recognises=lambda look: look.kind == "json" and _recognises(look.first),
    read=each(convert),
)
