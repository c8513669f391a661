"""Whether an answer says anything that its prompt did not put into its mouth: an up-vote on an echo says nothing.

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

from pipelines.curate.words import words
from pipelines.records import RatedMessage

_SENTENCE_END = re.compile(r"\n+|(?<=[.!?。！？])\s+")
_WORD = re.compile(r"\w+|=")
_QUOTED = re.compile(r"[\"“”「『]([^\"“”「」『』]+)[\"“”」』]|(?<!\w)['‘]([^'‘’]+)['’](?!s\b)")

# ---- scripts ------------------------------------------------------------------------------------------------

_FILLER = r"(?:exactly|only|just|simply|back|out|precisely|verbatim|always|the (?:following|words?|phrase|sentence|text|name)|this|after me|to me)"
# "say X": whatever follows is the script. "answer with: X": only a colon, a quote or "with" makes it one.
_SAYS = re.compile(rf"\b(?:say|repeat|echo|recite|parrot)\b(?:[\s,:]*{_FILLER}\b)*[\s,:]*(?P<script>.+)", re.IGNORECASE)
_ANSWERS = re.compile(
    rf"\b(?:answer|reply|respond|write|type|print|output|return|state|begin|start|end)\b(?:\s+{_FILLER}\b)*\s*"
    rf"(?:(?:with|by saying)\b(?:[\s,]*{_FILLER}\b)*[\s:]*|{_FILLER}\s*:?\s*|:\s*|(?=[\"“'‘]))(?P<script>.+)",
    re.IGNORECASE,
)
_KOREAN_AFTER = re.compile(
    r"(?:따라\s*(?:해|하|말)|그대로\s*(?:말|반복|출력|써|적|답|따라)|반복\s*(?:해|하)|복창|"
    r"(?:이렇게|다음과 같이|다음을|다음\s*문장을)[^:：]{0,20}(?:답|말|출력|써|적|대답))[^:：\n]{0,20}[:：]\s*(?P<script>.+)"
)
# anchored: from every place of a long line a lazy prefix would take quadratic time
_KOREAN_BEFORE = re.compile(
    r"(?m)^(?P<script>[^\n]+?)[\"'”’」』]? ?(?:이?라고만?|이?라고 만|을|를)? ?(?:그대로 ?)?"
    r"(?<=라고|고만|대로) ?(?:꼭 ?|항상 ?|만 ?)?(?:말|대답|답|써|적어|출력|반복|따라|외쳐)"
)
_NEGATED = re.compile(
    r"\b(?:don'?t|do not|never|how (?:do|can|would|should) (?:you|i|we)|did (?:you|he|she|they|i))\s*$", re.IGNORECASE
)
_OPTIONS = re.compile(r"\b(?:or|one of|between)\b|[,/]|또는|아니면|중(?:에서|에)?\s", re.IGNORECASE)
_CHOICES = re.compile(r"\bor\b|\bsay\b|[;:]|[.!?]\s", re.IGNORECASE)
_SCRIPT_SHARE = 0.8
_NEGATION_REACH = 40
_MOST_SCRIPTS = 200
_BETWEEN = "\0"

# ---- claims -------------------------------------------------------------------------------------------------

_CLAIM = re.compile(
    r"\b(?:is|are|was|were|am|equals?|means?|has|have|had|lives?|comes?|called|named|became|won|makes?|causes?|cures?)\b|\w['’]s\b|=",
    re.IGNORECASE,
)
_QUESTION = re.compile(
    r"[?？]\s*$|^(?:what|which|who|whom|whose|where|when|why|how|is|are|was|were|do|does|did|can|could|will|would|should|has|have)\b",
    re.IGNORECASE,
)
_KOREAN_CLAIM = re.compile(r"(?:다|요|야|죠|지|음|임)[.!。~\s]*$")
_KOREAN_REQUEST = re.compile(
    r"(?:주세요|줘요?|주십시오|해라|하세요|봐요?|까요?|나요|는가요?|은가요?|인가요?|어디(?:예요|에요|야|죠|인지)|뭐(?:예요|에요|야|죠|지)|무엇(?:이죠|인지)|누구(?:예요|야|죠))[.!?？~\s]*$"
)
_NEGATIONS = words("echo_negations")
_DISAGREES = re.compile(r"^\s*(?:no|nope|아니요?|아뇨)\s*[,.!]\s*", re.IGNORECASE)  # says no to what came before
_EMPTY = words("echo_empty")
_ENDINGS = re.compile(
    r"(?<=[가-힣A-Za-z0-9])(?:이?라고|입니다|인가요?|인지|이에요|예요|에요|이야|야|이죠|죠|지요|네요|군요|이다|다|랍니다|이랍니다|인데|이고|"
    r"에서는|에서|에게|으로|까지|부터|은|는|이|가|을|를|의|에|로|와|과|도|만|요)$"
)
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
    said = _joined(_words(answer))
    asks = "?" in prompt
    return any(_dictates(script, said, asks) for script in set(islice(_scripts(prompt), _MOST_SCRIPTS)))


def repeats_claim(prompts: Sequence[str], answer: str) -> bool:
    """Whether all that the answer says stands in one sentence in which a user stated something.

    Either the answer repeats most of that sentence, or the sentence also holds what the last question asks about.
    """
    said = content_words(answer)
    if not said:
        return False
    asked = _asked(prompts[-1])
    for claim in (
        content for prompt in prompts for sentence in sentences_of(prompt) if (content := _claimed(sentence))
    ):
        repeated = len(said) >= max(2, _COVERED * len(claim))
        answered = asked and asked <= claim and not said <= asked
        if said <= claim and said & _NEGATIONS == claim & _NEGATIONS and (repeated or answered):
            return True
    return False


def _one_spaced(text: str) -> str:
    """NFKC without empty lines and runs of spaces, on which patterns with several optional spaces would take forever."""
    lines = (" ".join(line.split()) for line in unicodedata.normalize("NFKC", text).splitlines())
    return "\n".join(line for line in lines if line)


def _scripts(prompt: str) -> Iterator[str]:
    """What the prompt tells to say: quoted parts, else the line, and the parts between which it lets choose."""
    for pattern in (_SAYS, _ANSWERS, _KOREAN_AFTER, _KOREAN_BEFORE):
        for found in pattern.finditer(prompt):
            if _NEGATED.search(prompt[max(0, found.start() - _NEGATION_REACH) : found.start()]):
                continue
            quoted = [first or second for first, second in _QUOTED.findall(found[0])]
            yield from quoted or [found["script"], *_CHOICES.split(found["script"])]


def _dictates(script: str, said: str, asks: bool) -> bool:
    """A script is followed by all of it, or by a part where no question offers it as one of several options."""
    words = _words(script)
    if not words or (asks and _OPTIONS.search(script)):
        return False
    scripted = _joined(words)
    if scripted in said:
        return scripted.count(_BETWEEN) - 1 >= _SCRIPT_SHARE * (said.count(_BETWEEN) - 1)
    return not asks and said in scripted


def _joined(words: Sequence[str]) -> str:
    """Words in one text, so that a run of words is found as a part of it: in place of a loop over all positions."""
    return _BETWEEN + "".join(word + _BETWEEN for word in words)


def _asked(prompt: str) -> frozenset[str]:
    """The content words of the last question in a prompt; empty where it asks nothing."""
    questions = [sentence for sentence in sentences_of(prompt) if is_question(sentence)]
    return content_words(questions[-1]) if questions else frozenset()


def _claimed(sentence: str) -> frozenset[str]:
    """The content words of a sentence that states something; empty for questions, requests and fragments."""
    return content_words(sentence) if is_claim(sentence) else frozenset()


def is_claim(sentence: str) -> bool:
    """Whether a sentence states something; questions, requests and fragments do not."""
    if is_question(sentence):
        return False
    return _CLAIM.search(sentence) is not None or (
        _KOREAN_CLAIM.search(sentence) is not None and re.search("[가-힣]", sentence) is not None
    )


def is_question(sentence: str) -> bool:
    """Whether a sentence has the form of a question, or of a Korean request."""
    return _QUESTION.search(sentence) is not None or _KOREAN_REQUEST.search(sentence) is not None


def sentences_of(text: str) -> list[str]:
    """The sentences and lines of a text."""
    return [part.strip() for part in _SENTENCE_END.split(text) if part.strip()]


def content_words(text: str) -> frozenset[str]:
    """The words that say something of a subject, Korean ones without particles and endings."""
    stems = (_stem(word) for word in _words(_DISAGREES.sub("", text)) if word not in _EMPTY)
    return frozenset(stem for stem in stems if stem and stem not in _EMPTY)


def _stem(word: str) -> str:
    """A Korean word without its particles and endings."""
    if word.isascii() or len(word) > _LONGEST_WORD or word in _NEGATIONS or not re.search("[가-힣]", word):
        return word
    while len(word) > 1 and (shorter := _ENDINGS.sub("", word)) != word and shorter:
        word = shorter
    return word


def _words(text: str) -> list[str]:
    folded = unicodedata.normalize("NFKC", text).casefold().replace("’", "'")
    return _WORD.findall(re.sub(r"(?<=n)'(?=t\b)", "", folded))
