"""Raw conversation in, clean conversation or the reason why not out. Reads top to bottom like the description.

    curator = Curator(CurationConfig(allow_degraded_names=True))
    curator.curate(conversation, secret, key)   # CleanConversation | Rejected | Quarantined

`secret` is the conversation's random surrogate secret: the same secret gives the same surrogates to a correction or a
regeneration, which is curated as one more message of the whole conversation. `key` is the key of cluster signatures.
"""

import itertools
import math
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence

from pipelines.chat import escape_markers
from pipelines.curate import cluster, form, language, quality, strings
from pipelines.curate.altered import own_names, replaced_answers
from pipelines.curate.config import OVER_BUDGET, CurationConfig
from pipelines.curate.custom import open_custom
from pipelines.curate.detect import Detector, Span, merge
from pipelines.curate.kinds import without_things
from pipelines.curate.names import NameRules
from pipelines.curate.ner import Finder, load_finders
from pipelines.curate.normalise import normalise
from pipelines.curate.public_names import PublicNames, hash_name, is_full, parts_of
from pipelines.curate.recognizers.bounded import DetectionTimedOut
from pipelines.curate.replace import places_of, replace, residue, with_placeholders, with_repeats
from pipelines.curate.surrogate import Surrogates
from pipelines.curate.thinking import take_apart
from pipelines.curate.topic import topic
from pipelines.curate.work import TOOLS, OverBudget, Step, Work, behind_labels, believed
from pipelines.errors import InputError
from pipelines.records import (
    CleanConversation,
    CleanMessage,
    Conversation,
    Curated,
    Features,
    Message,
    Quarantined,
    Rejected,
)

MAX_PERSONAL_VALUES = 500
_MODEL_BATCH = 64  # texts


class Curator:
    """Checks and anonymizes conversations; heavy to build, one per process, used by one thread at a time.

    Raises:
        InputError: neither a model for names nor the leave to go without one.
    """

    def __init__(self, config: CurationConfig) -> None:
        if config.ner_model is None and not config.allow_degraded_names:
            raise InputError(
                "curation has no model for person names: set ner_model to a spaCy package or a model folder, or set "
                "allow_degraded_names to accept rules and a gazetteer, which miss a quarter of English and two fifths of Korean names in chat"
            )
        self._config = config
        models = load_finders(config.ner_model, config.ner_labels) if config.ner_model else []
        self._finders: list[tuple[str, Finder]] = [*models, *open_custom(config.custom, config.timeout_seconds)]
        self._detector = Detector(config)
        self._rules = NameRules(config.timeout_seconds)
        self._public = PublicNames(config.public_names)

    def spare(self, names: Iterable[str]) -> None:
        """Takes these keyed hashes for those of names that are public; instead of what was said before."""
        self._public.count(names)

    def curate(self, conversation: Conversation, secret: bytes, key: bytes) -> Curated:
        """The clean conversation, its rejection, or its quarantine; raises nothing for what a conversation may hold."""
        return self._run(conversation, secret, key)[0]

    def explain(self, conversation: Conversation, secret: bytes, key: bytes) -> list[Step]:
        """The steps that `curate` takes on this conversation: rules, entity types, counts and lengths, no text."""
        return self._run(conversation, secret, key)[1]

    def _run(self, conversation: Conversation, secret: bytes, key: bytes) -> tuple[Curated, list[Step]]:
        work = Work(conversation, {}, time.process_time() + self._config.budget_seconds)
        try:
            result = self._curate(work, secret, key)
        except DetectionTimedOut:
            result = Quarantined(id=conversation.id, reason="detection_timeout")
        except OverBudget:
            result = Quarantined(id=conversation.id, reason=OVER_BUDGET)
        except Exception as error:  # fail closed: what could not be checked is never passed, whatever went wrong
            result = Quarantined(id=conversation.id, reason=f"curation_failed:{type(error).__name__}")
        work.steps.append(_verdict(result))
        return result, work.steps

    def _curate(self, work: Work, secret: bytes, key: bytes) -> Curated:
        broken = form.problem(work.conversation, self._config)
        if broken:
            return broken
        work.conversation = conversation = take_apart(work.conversation)
        if crowded := self._search(work, key):
            return crowded
        work.steps += [
            _findings(message, work.found_in(message.id))
            for message in conversation.messages
            if work.found_in(message.id)
        ]
        work.replaced = replaced_answers(conversation.messages, work.texts, work.found, work.own)
        self._replace(work, secret)
        left = self._left_over(work)
        if left:
            return Rejected(id=conversation.id, rule="personal_data_left", detail=", ".join(left))
        return _quality_problem(work) or _clean(work, key)

    def examine(self, text: str, secret: bytes, key: bytes) -> list[tuple[Span, str, str]]:
        """What would be replaced in a text by itself, in offsets of it once tidied: with who found it, and the surrogate.

        Raises:
            DetectionTimedOut: it cannot be checked in time.
        """
        message = Message(id="1", role="user", content=text)
        work = Work(Conversation(id="1", messages=(message,)), {}, math.inf)
        self._search(work, key)
        plain, spans = work.texts["1"], work.found["1"]
        surrogates = Surrogates(secret, normalise(plain).text)
        words = replace(plain, spans, surrogates)[1]
        sources = dict(self._sources(plain))
        return [(span, _source(span, sources), word) for span, word in zip(spans, words, strict=True)]

    def _sources(self, text: str) -> Iterator[tuple[str, Sequence[Span]]]:
        yield "shape", self._detector.find(text)
        source = normalise(text)
        yield "name rules", [_span(text, *source.span(*one), "PERSON") for one in self._rules.find(source.text)]
        for name, find in self._finders:
            yield name, [_span(text, *one) for one in find([text])[0]]

    def _search(self, work: Work, key: bytes) -> Rejected | None:
        """Notes what is to be replaced in all texts of a conversation; the rejection where that is too much."""
        conversation = work.conversation
        for message in conversation.messages:
            work.take(message.id, strings.texts_of(message))
        work.take(TOOLS, strings.texts_of_tools(conversation.tools))
        places = frozenset[str]().union(*(self._rules.places(normalise(text).text) for _, text in work.each_text()))
        named = self._named(work)
        found = {
            name: believed(work.kinds.get(name), self._find(text, places, named[name]))
            for name, text in work.each_text()
        }
        if crowded := _too_much(conversation, found):
            return crowded
        work.found = behind_labels(work.kinds, with_repeats(work.texts, found))
        self._spare(work, key)
        return _too_much(conversation, work.found)

    def _named(self, work: Work) -> dict[str, list[Span]]:
        """What the configured models and the recognizers of one's own find; several texts at a time."""
        named: dict[str, list[Span]] = {name: [] for name in work.texts}
        for _, find in self._finders:
            for start in range(0, len(work.texts), _MODEL_BATCH):
                group = [name for name, _ in itertools.islice(work.each_text(), start, start + _MODEL_BATCH)]
                for name, spans in zip(group, find([work.texts[name] for name in group]), strict=True):
                    named[name] += [_span(work.texts[name], *span) for span in spans]
        return named

    def _find(self, text: str, places: frozenset[str], named: Sequence[Span]) -> list[Span]:
        """Findings by shape, by name rules and by the configured models, in offsets of the text."""
        source = normalise(text)
        names = [source.span(start, end) for start, end in self._rules.find(source.text, places)]
        by_rules = (_span(text, start, end, "PERSON") for start, end in names)
        return merge([*self._detector.find(text), *by_rules, *named], text)

    def _spare(self, work: Work, key: bytes) -> None:
        """Takes what is nobody and public names out of the findings, and notes the full names of others that the users wrote."""
        work.own = own_names(work.conversation.messages, work.texts, work.found)
        own = frozenset[str]().union(*(parts_of(span.value) for spans in work.own.values() for span in spans))
        work.found = without_things(work.texts, work.found, own)
        wrote = [message.id for message in work.conversation.messages if message.role == "user"]
        values = {span.value for name in wrote for span in work.found[name] if span.entity == "PERSON"}
        others = {value for value in values if is_full(value) and not parts_of(value) & own}
        work.names = tuple(sorted(hash_name(value, key) for value in others))
        work.found = self._public.spare(work.found, own, key)

    def _replace(self, work: Work, secret: bytes) -> None:
        everything = "\n".join(normalise(text).text for text in work.texts.values())
        surrogates = Surrogates(secret, everything)
        for name, text in work.each_text():
            clean, words = replace(text, work.found[name], surrogates)
            work.clean[name] = escape_markers(clean)
            work.surrogates[name] = places_of(words, work.clean[name])

    def _left_over(self, work: Work) -> list[str]:
        """Entity types of original values that still stand in the clean texts; a second look, for what the first replaced."""
        left: set[str] = set()
        values = list({(span.entity, span.value): span for spans in work.found.values() for span in spans}.values())
        for name, _ in work.each_text():
            again = self._detector.find(work.clean[name]) if work.found[name] else []
            left |= residue(work.clean[name], values, again)
        return sorted(left)


def _span(text: str, start: int, end: int, entity: str) -> Span:
    return Span(start, end, entity, normalise(text[start:end]).text)


def _source(span: Span, sources: Mapping[str, Sequence[Span]]) -> str:
    """All who found something of this span; `repeated` for what stands there again."""
    names = [
        name for name, spans in sources.items() if any(one.start < span.end and span.start < one.end for one in spans)
    ]
    return ", ".join(names) or "repeated"


def _too_much(conversation: Conversation, found: Mapping[str, Sequence[Span]]) -> Rejected | None:
    """The rejection of more different personal values than a chat holds; looked at before anything is done with each."""
    values = {(span.entity, span.value) for spans in found.values() for span in spans}
    if len(values) <= MAX_PERSONAL_VALUES:
        return None
    return Rejected(id=conversation.id, rule="too_much_personal_data", detail=f"{len(values)} different values")


def _quality_problem(work: Work) -> Rejected | None:
    for speaker in ("user", "assistant"):
        texts = work.spoken(work.clean, speaker)
        if quality.is_gibberish(texts):
            return Rejected(
                id=work.conversation.id,
                rule="gibberish",
                detail=f"most letters of the {speaker}'s turns are no language",
            )
        if quality.is_repetition(texts):
            return Rejected(
                id=work.conversation.id, rule="repetition", detail=f"most of the {speaker}'s text repeats itself"
            )
    return None


def _clean(work: Work, key: bytes) -> CleanConversation:
    conversation = work.conversation
    typed = _typed(work)
    tools = strings.map_tools(conversation.tools, work.change(TOOLS))
    spoken = work.spoken(work.clean, "user", "assistant")
    return CleanConversation(
        id=conversation.id,
        messages=tuple(_clean_message(message, work, tools) for message in conversation.messages),
        language=language.conversation_language(spoken, conversation.language),
        topic=topic(spoken, conversation.topic),
        prompt=cluster.signature("\n".join(work.spoken(typed, "user")), key),
        pair=cluster.signature("\n".join(work.spoken(typed, "user", "assistant")), key),
        names=work.names,
    )


def _typed(work: Work) -> dict[str, str]:
    """Each message as near-duplicates are compared: with its calls and pictures, without its reasoning, findings as types."""
    typed = {}
    for message in work.conversation.messages:
        names = iter(work.parts[message.id])

        def placed(text: strings.Text, names: Iterator[str] = names) -> str:
            name = next(names)
            return with_placeholders(work.texts[name], work.found[name]).removeprefix(text.prefix)

        plain = strings.map_texts(message, placed)
        calls = (f"{call.name} {call.arguments}" for call in plain.tool_calls)
        typed[message.id] = "\n".join([plain.content, *calls, *message.parts])
    return typed


def _clean_message(message: Message, work: Work, tools: str) -> CleanMessage:
    clean = strings.map_texts(message, work.change(message.id))
    text = clean.content
    features = Features(
        characters=len(text),
        words=len(text.split()),
        scripts={script: round(share, 4) for script, share in language.script_shares(language.prose(text)).items()},
        mixing=round(language.mixing(text), 4),
        zlib_ratio=_rounded(quality.zlib_ratio(text)),
        bigram_score=_rounded(quality.bigram_score(text)),
        entities=_counts(work.found_in(message.id)),
        surrogates=work.surrogates[message.id],
        replaced=message.id in work.replaced,
    )
    return CleanMessage(
        id=message.id,
        role=message.role,
        parent=message.parent,
        text=text,
        features=features,
        masked=work.masked(message.id),
        parts=clean.parts,
        weight=clean.weight,
        **clean.extras | ({"tools": tools} if message.parent is None else {}),
    )


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 3)


def _counts(spans: Sequence[Span]) -> dict[str, int]:
    return dict(sorted(Counter(span.entity for span in spans).items()))


def _findings(message: Message, spans: Sequence[Span]) -> Step:
    lengths = {entity: tuple(s.end - s.start for s in spans if s.entity == entity) for entity in _counts(spans)}
    return Step(rule="replaced", message=message.id, role=message.role, entities=_counts(spans), lengths=lengths)


def _verdict(result: Curated) -> Step:
    if isinstance(result, Rejected):
        return Step(rule=result.rule, outcome="rejected", measures={"detail": result.detail})
    if isinstance(result, Quarantined):
        return Step(rule=result.reason, outcome="quarantined")
    return Step(
        rule="clean",
        outcome="clean",
        measures={"language": result.language, "topic": result.topic, "messages": len(result.messages)},
    )
