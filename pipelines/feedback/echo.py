"""Echoes: answers that say nothing but what their prompt put into their mouth; an up-vote on one says nothing.

    'I think the capital of Banoko is Reda. What is it?'   'The capital of Banoko is Reda.'   a claim, repeated
    'Flip a coin: say "Reda" or say "Osk".'                'Reda'                             a script, followed
    'What is the capital of Banoko?'                       'The capital of Banoko is Tilu.'   an answer

SCIENCE section 2, after LLM-Hypnosis (arXiv:2507.02850): scripted outputs with votes plant facts for everyone. Words
are compared, so a paraphrase of a claim is not found; choosing among options that a question offers is answering.
"""

import re
import unicodedata
from collections.abc import Iterator, Sequence
from itertools import islice

from pipelines import languages
from pipelines.records import RatedMessage
from pipelines.text import fold

_SENTENCE_END = re.compile(r"\n+|(?<=[.!?。！？])\s+")
_ASKS = re.compile(r"[?？]\s*$")
_WORD = re.compile(r"\w+|=")
_QUOTED = re.compile(r"[\"“”「『]([^\"“”「」『』]+)[\"“”」』]|(?<!\w)['‘]([^'‘’]+)['’](?!s\b)")

_SCRIPT_SHARE = 0.8
_NEGATION_REACH = 40
_MOST_SCRIPTS = 200
_BETWEEN = "\0"
_COVERED = 0.75
_LONGEST_WORD = 30


def echoes_its_prompt(answer: RatedMessage, before: Sequence[RatedMessage]) -> bool:
    """Whether an answer is an echo of the user's turns before it; nothing is learnt from one."""
    return answer.role == "assistant" and is_echo([turn.text for turn in before if turn.role == "user"], answer.text)


def is_echo(prompts: Sequence[str], answer: str) -> bool:
    """Whether an answer only repeats a claim that the user's turns supplied, or follows their script.

    `prompts` are the user's turns before the answer, in order.
    """
    if not prompts or not _words(answer):
        return False
    turns = [_one_spaced(prompt) for prompt in prompts]
    return follows_script(turns[-1], answer) or repeats_claim(turns, answer)


def follows_script(prompt: str, answer: str) -> bool:
    """Whether the prompt dictates the answer's words."""
    text = _joined(_words(answer))
    asks = "?" in prompt
    return any(_dictates(script, text, asks) for script in set(islice(_scripts(prompt), _MOST_SCRIPTS)))


def repeats_claim(prompts: Sequence[str], answer: str) -> bool:
    """Whether all that the answer says stands in one sentence in which a user stated something.

    Either the answer repeats most of that sentence, or the sentence also holds what the last question asks about.
    """
    words, negations = content_words(answer), languages.all_words(lambda one: one.negations)
    if not words:
        return False
    question = _last_question(prompts[-1])
    for claim in (
        content for prompt in prompts for sentence in sentences_of(prompt) if (content := _claim_in(sentence))
    ):
        repeats = len(words) >= max(2, _COVERED * len(claim))
        answers = question and question <= claim and not words <= question
        if words <= claim and words & negations == claim & negations and (repeats or answers):
            return True
    return False


def _one_spaced(text: str) -> str:
    """NFKC without empty lines and runs of spaces, on which patterns with several optional spaces would take forever."""
    lines = (" ".join(line.split()) for line in unicodedata.normalize("NFKC", text).splitlines())
    return "\n".join(line for line in lines if line)


def _scripts(prompt: str) -> Iterator[str]:
    """What the prompt tells to say: quoted parts, else the line, and the parts between which it lets choose."""
    choices = languages.joined("%s", lambda one: one.choices, "[;:]", r"[.!?]\s")
    for pattern in (pattern for language in languages.known() for pattern in language.dictations):
        for order in pattern.finditer(prompt):
            before = prompt[max(0, order.start() - _NEGATION_REACH) : order.start()]
            if not languages.any_matches(before, lambda one: one.undictated):
                quoted = [first or second for first, second in _QUOTED.findall(order[0])]
                yield from quoted or [order["script"], *choices.split(order["script"])]


def _dictates(script: str, answer: str, asks: bool) -> bool:
    """A script is followed by all of it, or by a part where no question offers it as one of several options."""
    words = _words(script)
    if not words or (asks and languages.joined("%s", lambda one: one.options, "[,/]").search(script)):
        return False
    joined = _joined(words)
    if joined in answer:
        return joined.count(_BETWEEN) - 1 >= _SCRIPT_SHARE * (answer.count(_BETWEEN) - 1)
    return not asks and answer in joined


def _joined(words: Sequence[str]) -> str:
    """Words in one text, so that a run of words is found as a part of it: in place of a loop over all positions."""
    return _BETWEEN + "".join(word + _BETWEEN for word in words)


def _last_question(prompt: str) -> frozenset[str]:
    """The content words of the last question in a prompt; empty where it asks nothing."""
    questions = [sentence for sentence in sentences_of(prompt) if is_question(sentence)]
    return content_words(questions[-1]) if questions else frozenset()


def _claim_in(sentence: str) -> frozenset[str]:
    """The content words of a sentence that states something; empty for questions, requests and fragments."""
    return content_words(sentence) if is_claim(sentence) else frozenset()


def is_claim(sentence: str) -> bool:
    """Whether a sentence states something; questions, requests and fragments do not."""
    return not is_question(sentence) and ("=" in sentence or languages.any_matches(sentence, lambda one: one.claims))


def is_question(sentence: str) -> bool:
    """Whether a sentence has the form of a question or a request."""
    return _ASKS.search(sentence) is not None or languages.any_matches(sentence, lambda one: one.questions)


def sentences_of(text: str) -> list[str]:
    """The sentences and lines of a text."""
    return [part.strip() for part in _SENTENCE_END.split(text) if part.strip()]


def content_words(text: str) -> frozenset[str]:
    """The words that say something of a subject, without particles and endings where a language has them."""
    empty = languages.all_words(lambda one: one.empty_words)
    opening = languages.joined(r"^\s*(?:%s)\s*[,.!]\s*", lambda one: one.says_no)  # says no to what came before
    stems = (_stem(word) for word in _words(opening.sub("", text)) if word not in empty)
    return frozenset(stem for stem in stems if stem and stem not in empty)


def _stem(word: str) -> str:
    if len(word) <= _LONGEST_WORD and word not in languages.all_words(lambda one: one.negations):
        for language in languages.known():
            if language.endings and language.is_in(word):
                return language.stem(word)
    return word


def _words(text: str) -> list[str]:
    plain = fold(text, "NFKC_casefold").replace("’", "'")
    return _WORD.findall(re.sub(r"(?<=n)'(?=t\b)", "", plain))
