"""Near-duplicates: what may stand for one another, and what only looks alike.

Short texts (under 13 words; mostly-Korean ones under 30 characters, Chinese or Japanese ones under 20) are duplicates only
when equal. In scripts without blanks each character is a word. Longer ones are
compared by MinHash over word 3-grams (128 permutations, 16 bands for SQL), and then word by word: two long prompts that
differ in one number or one name share nearly all 3-grams, yet a corrected fact about X must never supersede one about Y.
Case and punctuation are left out, but for signs at numbers (`5!`, `3 : 4`, `.5`), capitals (US and us) and units (mW, MW).

Content words are all words but a short list of articles and courtesies, in their order. Two texts are
the same only if the shorter one's content words are all in the longer one's, in order, and what the longer one adds is
little and carries no digit, capital, symbol or negation. A substitution on both sides is never the same.

Everything that leaves this module is hashed under the key: without it, nothing tells which words were said.
"""

import hashlib
import re
import struct
import unicodedata
from collections.abc import Sequence

import rensa

from pipelines.curate.words import words
from pipelines.records import Signature

PERMUTATIONS = 128
BANDS = 16
MIN_SIMILARITY = 0.7
MIN_WORDS = 13
MIN_KOREAN_CHARACTERS = 30
MIN_UNSPACED_CHARACTERS = 20
MAX_ADDED = 0.1
_SEED = 42
_MAX_CONTENT_WORDS = 1_500
_HARD = "!"
_TOKEN = re.compile(r"<[A-Z][A-Z_]{2,20}>|(?:(?<![\w.])\.(?=\d))?\w(?:[\w'’]|[.,/-](?=\d))*|[^\w\s]")
# Punctuation that touches a number, or stands between two, is an operator: it becomes a sign that is no punctuation.
_OPERATOR = re.compile(r"(?<=\d)[!:~·]|[!:~·](?=\d)|(?<=\d )(?:[!:~·](?= ?\d)|\.(?= \d))")
_SIGNS = {"!": "∏", ":": "∶", "~": "∼", "·": "⋅", ".": "∙"}
_LONGEST_UNIT = 4
# Scripts without blanks between words: each character is a word there. Particles at the end of a sentence say nothing;
# what denies, asks or counts may never be only in one of two texts.
_UNSPACED = "\u0e00-\u0e7f\u0e80-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff"
_CHARACTER = re.compile(f"[{_UNSPACED}]")
_CHARACTERS = re.compile(f"([{_UNSPACED}])")
_PARTICLES = frozenset("吧呢啊嘛呀哦啦喔呗ねよ")
_REVERSING_CHARACTERS = frozenset(
    "不没沒無无未非别別勿莫否反吗嗎か一二三四五六七八九十百千万萬半两兩男女上下左右前后後なんぬずいไ"
)
_PUNCTUATION = frozenset(".,!?;:…~\"'`“”‘’「」『』·。、，！？")
_FUNCTION = words("function_words")
_REVERSING = words("reversing_words")


def signature(text: str, key: bytes) -> Signature:
    """What clustering needs of a text in which personal data are typed placeholders; `key` is at most 64 bytes long.

    The text must hold user turns (prompt) or user and assistant turns (pair), never the system prompt.
    """
    whole = _tokens(text)
    tokens = _by_character(whole)
    folded = _folded(tokens)
    words = _words(folded)
    exact = _exact(words, key)
    former = _exact(_words(_folded(whole)), key) if len(tokens) != len(whole) else ""
    if _is_short(words):
        return Signature(exact=exact, former=former)
    hashed = _WordHashes(_key(key, b"words"))
    minhash = _minhash([hashed(word) for word in words])
    return Signature(
        exact=exact,
        former=former,
        minhash=minhash,
        bands=_bands(minhash, _key(key, b"bands")),
        content_words=_content(tokens, folded, hashed),
    )


def same_cluster(first: Signature, second: Signature, max_added: float = MAX_ADDED) -> bool:
    """Whether one may stand for the other: equal, or at least .7 alike with no conflict in their content words.

    `max_added` is the share of content words that only the longer one may have; 0 forgives none.
    """
    if first.exact == second.exact:
        return True
    if not first.minhash or not second.minhash or similarity(first, second) < MIN_SIMILARITY:
        return False
    return not content_conflict(first.content_words, second.content_words, max_added)


def similarity(first: Signature, second: Signature) -> float:
    """Estimated Jaccard similarity (0 to 1) of the word 3-grams; standard error about .04 at .7."""
    return sum(a == b for a, b in zip(first.minhash, second.minhash, strict=True)) / PERMUTATIONS


def content_conflict(first: Sequence[str], second: Sequence[str], max_added: float = MAX_ADDED) -> bool:
    """Whether the content words, in order, tell that the texts say different things."""
    shorter, longer = sorted((first, second), key=len)
    position = 0
    added = []
    for word in longer:
        if position < len(shorter) and word.rstrip(_HARD) == shorter[position].rstrip(_HARD):
            position += 1
        else:
            added.append(word)
    if position < len(shorter) or any(word.endswith(_HARD) for word in added):
        return True
    return len(added) > (max(1, int(max_added * len(longer))) if max_added else 0)


def _tokens(text: str) -> list[str]:
    one_spaced = " ".join(unicodedata.normalize("NFKC", text).split())
    return _TOKEN.findall(_OPERATOR.sub(lambda found: _SIGNS[found[0]], one_spaced))


def _by_character(tokens: Sequence[str]) -> list[str]:
    """The tokens with those of scripts without blanks in characters, without particles at the end of a sentence."""
    apart = [part for token in tokens for part in (_CHARACTERS.split(token) if token[0] != "<" else [token]) if part]
    following = [*apart[1:], "."]
    return [
        token
        for token, after in zip(apart, following, strict=False)
        if not (token in _PARTICLES and (after in _PUNCTUATION or after in _PARTICLES))
    ] or apart


def _words(folded: Sequence[str]) -> Sequence[str]:
    return [word for word in folded if word not in _PUNCTUATION] or folded


def _exact(words: Sequence[str], key: bytes) -> str:
    plain = " ".join(words).encode("utf-8", "replace")
    return hashlib.blake2b(plain, key=_key(key, b"exact"), digest_size=16).hexdigest()


def _folded(tokens: Sequence[str]) -> list[str]:
    """The tokens without case, but for those whose case tells them apart."""
    shouted = 2 * sum(map(str.isupper, tokens)) > len(tokens)
    folded = []
    after_number = False
    for token in tokens:
        low = token.casefold()
        folded.append(token if low != token and _keeps_case(token, low, after_number, shouted) else low)
        after_number = token[-1].isdigit()
    return folded


def _keeps_case(token: str, low: str, after_number: bool, shouted: bool) -> bool:
    """Placeholders, units (5 mW, 5mW), and words all in capitals (US) where not the whole text is."""
    if token[0] == "<" or token[0].isdigit() or (after_number and len(token) <= _LONGEST_UNIT):
        return True
    return not shouted and len(token) > 1 and token.isupper() and low not in _FUNCTION and low not in _REVERSING


def _is_short(words: Sequence[str]) -> bool:
    joined = "".join(words)
    if len(_CHARACTER.findall(joined)) * 2 > sum(character.isalpha() for character in joined):
        return len(joined) < MIN_UNSPACED_CHARACTERS
    hangul = sum("가" <= character <= "힣" for character in joined)
    if hangul * 2 > sum(character.isalpha() for character in joined):
        return len(joined) < MIN_KOREAN_CHARACTERS
    return len(words) < MIN_WORDS


class _WordHashes:
    """Keyed 8-byte hashes of words, hex; each word is hashed once."""

    def __init__(self, key: bytes) -> None:
        self._key = key
        self._known: dict[str, str] = {}

    def __call__(self, word: str) -> str:
        if word not in self._known:
            self._known[word] = hashlib.blake2b(
                word.encode("utf-8", "replace"), key=self._key, digest_size=8
            ).hexdigest()
        return self._known[word]


def _minhash(hashes: Sequence[str]) -> tuple[int, ...]:
    sketch = rensa.RMinHash(num_perm=PERMUTATIONS, seed=_SEED)
    sketch.update(["".join(hashes[i : i + 3]) for i in range(max(1, len(hashes) - 2))])
    return tuple(sketch.digest())


def _bands(minhash: Sequence[int], key: bytes) -> tuple[int, ...]:
    rows = PERMUTATIONS // BANDS
    packed = struct.pack(f"<{PERMUTATIONS}I", *minhash)
    parts = (bytes([band]) + packed[band * rows * 4 : (band + 1) * rows * 4] for band in range(BANDS))
    return tuple(
        int.from_bytes(hashlib.blake2b(part, key=key, digest_size=8).digest(), "little", signed=True) for part in parts
    )


def _content(tokens: Sequence[str], folded: Sequence[str], hashed: _WordHashes) -> tuple[str, ...]:
    """Hashes of the content words in order, `!` behind those that may never be added; the tail folded into one."""
    words = []
    starts_sentence = True
    for token, low in zip(tokens, folded, strict=True):
        word = low.replace("'", "").replace("’", "")
        if token not in _PUNCTUATION and word not in _FUNCTION:
            words.append(hashed(word)[:12] + (_HARD if _is_hard(token, word, starts_sentence) else ""))
        starts_sentence = token in ".?!:" or (starts_sentence and token in _PUNCTUATION)
    if len(words) > _MAX_CONTENT_WORDS:
        tail = hashed(" ".join(words[_MAX_CONTENT_WORDS:]))[:12] + _HARD
        words = [*words[:_MAX_CONTENT_WORDS], tail]
    return tuple(words)


def _is_hard(token: str, folded: str, starts_sentence: bool) -> bool:
    if any(character.isdigit() for character in token) or folded in _REVERSING or not token[0].isalpha():
        return True
    if token in _REVERSING_CHARACTERS:
        return True
    return token[0].isupper() and not starts_sentence


def _key(key: bytes, purpose: bytes) -> bytes:
    return hashlib.blake2b(purpose, key=key[:64] or b"\0", digest_size=32).digest()
