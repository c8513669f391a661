"""Contradicted answers: trained ones to a question that a newer conversation answers otherwise.

Clusters compare whole conversations; a correction often comes in the middle of one:

    What is the capital of Vell?  It is Orm. (down)  No, it moved.  It is Tarn.     answers what opened it
    What is the capital of Vell?  It is Orm. (down)  And of Lodu?   It is Kirn.     answers another question

Words are compared, so something is missed, and stays in training. The other error would untrain right answers.
"""

import json
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cache

from pipelines import languages
from pipelines.feedback.echo import content_words, is_claim, is_question, sentences_of
from pipelines.languages.language import Language
from pipelines.records import RatedMessage
from pipelines.text import digest, fold

_INSIDE = re.compile(r"(?<=[\w,;)]\s)\w+")  # words that begin no sentence
_LEAST_WORDS = 3  # where no language is told by its letters
_MOST_OTHER_WORDS = 1


@dataclass(frozen=True, slots=True)
class Answer:
    """A trained answer on a path: the question it answers, behind which system prompt, and whether that opened the path.

    `asked` and `said` are digests: of system prompt and question, and of the answer.
    """

    place: int
    asked: bytes
    opens: bool
    said: bytes


def answers_of(path: Sequence[RatedMessage], trained: Sequence[bool]) -> list[Answer]:
    """The trained answers on a path whose question other conversations may ask too.

    What follows an answer voted down may set it right, and then answers what that one answered.
    """
    system = "\n".join(message.text for message in path if message.role == "system")
    answers = []
    question, turn, wrong, turns, opens = "", "", "", 0, True
    for place, message in enumerate(path):
        if message.role == "user":
            turn, turns = message.text, turns + 1
        elif message.role == "assistant":
            if not (wrong and _sets_right(question, wrong, turn, message.text)):
                question, opens = turn, turns == 1
            if trained[place] and _stands_alone(question, message.text, opens):
                asked = json.dumps([_plain(system), _plain(question)])
                answers.append(Answer(place, digest(asked), opens, digest(_plain(message.text))))
            wrong = message.text if message.up < message.down else ""
    return answers


def contradicted(newest_first: Iterable[tuple[str, Sequence[Answer]]]) -> dict[str, set[int]]:
    """By conversation, the places of answers that a newer conversation's answer to the same question contradicts.

    `newest_first` are the names of conversations with their answers. The question must have opened one of the two conversations: what never does may depend on what was said before.
    """
    newest: dict[bytes, Answer] = {}
    old: dict[str, set[int]] = {}
    for conversation, answers in newest_first:
        standing = []
        for answer in answers:
            newer = newest.get(answer.asked)
            if newer is not None and (answer.opens or newer.opens) and newer.said != answer.said:
                old.setdefault(conversation, set()).add(answer.place)
            else:
                standing.append(answer)
        for answer in standing:
            known = newest.get(answer.asked)
            if known is None or (answer.opens and not known.opens):
                newest[answer.asked] = answer
    return old


def _stands_alone(question: str, answer: str, opens: bool) -> bool:
    """Whether it asks the same wherever it is asked: it has a name, or words enough. Greetings ask nothing.

    A name is a capital inside a sentence of question or answer, or a number. In the middle of a chat only what the
    answer takes up counts.
    """
    all_content = content_words(question)
    content = all_content - _greetings(languages.known())
    if len(content) < 2 and (content != all_content or not is_question(question)):
        return False
    if content & (_names(question) | _names(answer)):
        return True
    if not opens:
        return len(_shared_words(content, answer)) >= 2
    spoken = [language.least_words for language in languages.known() if language.is_in(question)]
    return len(content) >= min(spoken, default=_LEAST_WORDS)


def _shared_words(content: frozenset[str], answer: str) -> set[str]:
    """The words that the answer says too; by their heads where particles pile up on them (`바노코라는 나라`)."""
    words = content_words(answer)
    piling = [language for language in languages.known() if language.head]
    heads = {word[: one.head] for one in piling for word in answer.split() if one.is_in(word[:1])}
    return {word for word in content if word in words or any(word[: one.head] in heads for one in piling)}


def _sets_right(question: str, wrong: str, turn: str, right: str) -> bool:
    """Whether an answer takes the place of the wrong one before it: of the same subject, much the same words, and the
    user's turn between them asks nothing of its own."""
    subject = content_words(question) & content_words(wrong)
    if not subject <= content_words(right) or not _are_alike(_plain(wrong), _plain(right)):
        return False
    known = content_words(question) | content_words(wrong)
    return not any(_asks_anew(sentence, known, content_words(right)) for sentence in sentences_of(turn))


def _asks_anew(sentence: str, known: frozenset[str], right: frozenset[str]) -> bool:
    """Questions and requests with a word of their own do; so does a statement of more than one, or with a name, that
    the answer does not take up."""
    own = content_words(sentence) - known
    disagrees = languages.joined(r"^\W*(?:%s)", lambda one: one.disagrees)
    if is_question(sentence) or not (is_claim(sentence) or disagrees.search(sentence)):
        return bool(own)
    other = own - right
    return len(other) > _MOST_OTHER_WORDS or bool(other & _names(sentence))


@cache
def _greetings(known: tuple[Language, ...]) -> frozenset[str]:
    """The words of greetings in these languages, as `content_words` leaves them."""
    return content_words(" ".join(word for language in known for word in language.greetings))


def _names(text: str) -> set[str]:
    return {word.casefold() for word in _INSIDE.findall(text) if word[0].isupper() or word[0].isdigit()}


def _are_alike(one: str, other: str) -> bool:
    """Whether at least half the words of the shorter text stand in the longer one."""
    shorter, longer = sorted((set(one.split()), set(other.split())), key=len)
    return 2 * len(shorter & longer) >= len(shorter) > 0


def _plain(text: str) -> str:
    """What questions and answers are compared by: neither case, width nor spacing makes another one."""
    return fold(text, "NFKC_casefold")
