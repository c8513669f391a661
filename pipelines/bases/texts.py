"""Texts in ten scripts, made by a seed: what two tokenizers must read alike. Letters and marks in words of no language."""

import random
from collections.abc import Iterator

COUNT = 2000
_ALPHABETS = {
    "latin": "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZàâäçéèêëîïôöùûüßñøåæœčšžłőąę",
    "hangul": "".join(chr(0xAC00 + step * 37) for step in range(300)),
    "kana and han": "あいうえおかきくけこさしすせそアイウエオカキクケコ日本語中文学校時間世界東西南北人口手",
    "han": "的一是不了人我在有他这为之大来以个中上们到说国和地也子时道出而要于就下得可你年生",
    "cyrillic": "абвгдеёжзийклмнопрстуфхцчшщъыьэюяАБВГДЕЖЗІЇЄ",
    "greek": "αβγδεζηθικλμνξοπρστυφχψωάέήίόύώΑΒΓΔΘΛΞΠΣΦΨΩ",
    "arabic": "ابتثجحخدذرزسشصضطظعغفقكلمنهويءآأؤإئىة",
    "hebrew": "אבגדהוזחטיכלמנסעפצקרשתךםןףץ",
    "devanagari": "अआइईउऊएऐओऔकखगघचछजझटठडढणतथदधनपफबभमयरलवशषसहािीुूेैोौंँ्",
    "thai": "กขคงจฉชซญดตถทธนบปผฝพฟภมยรลวศษสหอฮะาิีึืุูเแโใไ่้๊๋",
}
SCRIPTS = tuple(_ALPHABETS)
_SPICE = (
    "12345", "3.14", "1,000,000", "2026-11-27", "don't", "we'll", "I'M", "a/b", "x_y", "[i]", "{\"k\": 1}", "`code`", "==", "->",
    "...", "?!", "—", "“q”", "🎉", "👩‍👩‍👧‍👦", "🇰🇷", "é", "\t", "\n", "\n\n", "  ", "    ", "\r\n", "\u00a0", "#tag", "$5", "50%",
)  # fmt: skip


def script_texts(count: int = COUNT, seed: int = 0) -> Iterator[str]:
    """`count` texts of a few words each, the scripts by turns, with numbers, marks, emoji and odd white space among them."""
    generator = random.Random(seed)
    for place in range(count):
        script = SCRIPTS[place % len(SCRIPTS)]
        yield "".join(_pieces(generator, _ALPHABETS[script]))


def _pieces(generator: random.Random, alphabet: str) -> Iterator[str]:
    for _ in range(generator.randint(1, 12)):
        if generator.random() < 0.25:
            yield generator.choice(_SPICE)
        else:
            yield "".join(generator.choices(alphabet, k=generator.randint(1, 9)))
        yield generator.choice(("", " ", " ", " ", ", ", ". "))
