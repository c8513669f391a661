"""Which answers no longer say what was said, because words of them, or of what was asked, were replaced.

    Who is No. 1 on the Artist 100?   Kelly Kemp.                    replaced: the answer is a person
    When was Kelly Kemp born?         In 1955.                       replaced: asked about a person
    My boss Greg is angry. Help!      Talk to Greg tomorrow.         kept, without loss on the name
    My name is Anna.                  Hi Anna, how can I help?       kept, without loss on the name

An answer that is `replaced` teaches nothing at all; of any other one only the words that stand for others get no loss.
In doubt an answer counts as replaced: a lost lesson costs little, a learnt falsehood is told to everybody.
Patterns are those of the known languages, and of a few words of others; elsewhere a question mark decides.
"""

import re
from bisect import bisect_right
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache

from pipelines import languages
from pipelines.curate.detect import Span
from pipelines.curate.heard import Heard, HeardTurn
from pipelines.curate.public_names import parts_of
from pipelines.languages.language import Naming
from pipelines.records import Message

_SENTENCE = re.compile(r"[^\n.!?。！？]*(?:[.!?。！？](?=\S)[^\n.!?。！？]*)*(?:[.!?。！？]+|\n|$)")
_QUESTION = re.compile(r"[?？][\"'”’)\s]*$")
_PASTED = re.compile(r"[^:：\n]{3,80}[:：]\s")
_WORD = re.compile(r"[^\W_]+")
_LETTERS = re.compile(r"[^\W_]")
_FEW_WORDS, _FEW_LETTERS = 3, 6
_SHORT_QUESTION = 4  # words: "And when?", which asks about what came before
_OTHERS = Naming(  # of languages that have no file of their own
    introduces=(
        r"\b(?:ich bin|ich hei(?:ß|ss)e|mein name ist|hier ist|je m['’]appelle|je suis|mon nom est|me llamo|mi nombre es|soy|"
        r"mi chiamo|sono|meu nome é|me chamo|ik ben|mijn naam is|меня зовут)\s|(?:我叫|我是|我的名字是|私の名前は|私は)"
    ),
    hails=(
        r"\b(?:hallo|guten (?:tag|morgen|abend)|liebe[rs]?|sehr geehrte[rs]?|moin|servus|bonjour|salut|ch[eè]re?|hola|querid[oa]|estimad[oa]|"
        r"buenos días|ciao|gentile|olá|car[oa]|beste|привет|здравствуйте|дорог(?:ой|ая)),?\s|(?:你好|您好|亲爱的|こんにちは|親愛なる)"
    ),
    closes=(
        r"\b(?:(?:mit )?(?:freundlichen|besten|lieben|herzlichen|viele[nr]?|liebe|beste) grü(?:ß|ss)en?|cordialement|bien à vous|amicalement|"
        r"(?:un )?saludos?|atentamente|(?:un )?abrazos?|cordiali saluti|distinti saluti|atenciosamente|met vriendelijke groet|с уважением)\b|(?:此致|敬上|敬具)"
    ),
    concerns=r"\b(?:über|sobre|acerca de|à propos de|sur|su|over|о|об|про)\s|(?:关于|關於)",
    concerns_after="について|に関して|に関する",
    informs=r"\b(?:erzähle?|beschreibe?|erkläre?|nenne?|parle|explique|décris|dime|háblame|explica|describe|parlami|расскажи|опиши)\b|(?:介绍|告诉|说明|教えて)",
    advises=r"\b(?:soll(?:te)? ich|kann ich|darf ich|muss ich|dois-je|puis-je|debo|debería|puedo|devo|posso)\b|(?:我该|我应该|べきですか)",
    asks_who=r"\b(?:wer|wem|wen|wessen|qui|quién(?:es)?|chi|quem|wie is|кто|кого|как зовут)\b|(?:谁|誰|哪位|だれ|どなた)",
    refers_back=r"\b(?:er|ihn|ihm|seine?[rnms]?|ihre?[rnms]?|il|elle|lui|leur|él|ella|lui|lei|ele|ela|hij|zij|он|она|его|её|ему)\b|(?:他|她|彼|彼女)",
    invents=r"\b(?:schreibe?|verfasse?|entwirf|écris|rédige|escribe|redacta|scrivi|escreva|напиши)\b.{0,60}\b(?:e-?mail|brief|nachricht|geschichte|gedicht|lettre|histoire|poème|carta|correo|historia|cuento|poema|lettera|storia|письмо|рассказ|стих)",
)
_ASKED_FOR = {
    "PHONE_NUMBER": r"\b(?:phone|number|telephone|call|hotline|contact|telefon|teléfono|téléphone|numero)|전화|번호|연락처|电话|電話",
    "EMAIL_ADDRESS": r"\be-?mail|\bmail\b|\bcontact|이메일|메일|correo|courriel|邮箱|メール",
    "URL": r"\b(?:urls?|links?|web ?sites?|sites?|web ?pages?|homepage|download|online|domain)\b|링크|사이트|홈페이지|주소|网址|サイト",
    "ADDRESS": r"\b(?:address|where|located|location|street|wo|adresse|dirección|où|dónde|dove|где)\b|주소|어디|위치|地址|住所|どこ",
    "IP_ADDRESS": r"\bip\b|\b(?:dns|server|address|subnet|gateway|netmask)|주소|아이피",
    "MAC_ADDRESS": r"\bmac\b",
    "BIRTH_DATE": r"\b(?:born|birth|birthday|dob|geb|née?\b|nac|nat[oa]\b|how old)|생일|생년|태어|출생|出生|誕生|生日",
    "USERNAME": r"\b(?:handle|account|user ?name|profile|insta|twitter|telegram|tiktok|discord)|아이디|계정|인스타|账号|アカウント",
    "COORDINATES": r"\b(?:where|located|location|coordinates|gps|position|wo|où|dónde|dove)\b|위치|좌표|어디|位置|坐标|座標",
}
_ASKED_FOR_ID = r"\b(?:number|id|code|iban|card|account|key|token|password|licen[cs]e)s?\b|번호|코드|비밀번호|키"


def replaced_answers(
    messages: Sequence[Message],
    texts: Mapping[str, str],
    found: Mapping[str, Sequence[Span]],
    own: Mapping[str, Sequence[Span]],
) -> frozenset[str]:
    """The ids of answers that say something else than was said, once what was found in the texts is replaced.

    `own` are the names of those who speak, as `own_names` finds them.
    """
    if not any(found[message.id] for message in messages):
        return frozenset()
    children: dict[str | None, list[str]] = {}
    for message in messages:
        children.setdefault(message.parent, []).append(message.id)
    roles = {message.id: message.role for message in messages}
    heard, replaced = Heard(), set()
    for name in _in_depth(children):
        if name is None:
            heard.leave()
            continue
        names = _names_given(roles[name], found[name], own.get(name, ()))
        turn = HeardTurn(roles[name], texts[name], found[name], names)
        is_replaced = turn.role == "assistant" and _is_replaced(turn, heard)
        if is_replaced:
            replaced.add(name)
        heard.enter(turn, is_replaced)
    return frozenset(replaced)


def own_names(
    messages: Sequence[Message], texts: Mapping[str, str], found: Mapping[str, Sequence[Span]]
) -> dict[str, list[Span]]:
    """By id of a user's message, the names that its writer gives for their own."""
    turns = {one.id: HeardTurn(one.role, texts[one.id], found[one.id]) for one in messages if one.role == "user"}
    return {
        name: [
            span for span in turn.spans if span.entity == "PERSON" and (_introduces(turn, span) or _signs(turn, span))
        ]
        for name, turn in turns.items()
    }


def _in_depth(children: Mapping[str | None, Sequence[str]]) -> Iterator[str | None]:
    """The names of a tree from its roots, each followed by what is below it, and then by None."""
    rest: list[str | None] = [*reversed(children.get(None, ()))]
    while rest:
        name = rest.pop()
        yield name
        if name is not None:
            rest += [None, *reversed(children.get(name, ()))]


def _names_given(role: str, spans: Sequence[Span], own: Sequence[Span]) -> frozenset[str]:
    """The parts of the names by which speakers go: those that users give themselves, and that the system gives anybody."""
    chosen = spans if role == "system" else set(spans).intersection(own)
    return frozenset[str]().union(*(parts_of(span.value) for span in chosen if span.entity == "PERSON"))


def _is_replaced(answer: HeardTurn, heard: Heard) -> bool:
    question, earlier = heard.question, heard.has_replaced
    if _is_asked_about(question, heard.of_others(question.spans)):
        return True
    if _asks_on(question.text, earlier) and (earlier or heard.speaks_of_others()):
        return True
    return _states(answer, heard)


# ---- whom a turn speaks of ----------------------------------------------------------------------------------


def _introduces(turn: HeardTurn, span: Span) -> bool:
    before, behind = turn.line_of(span)
    if _pattern(r"(?:%s)\W*(?:(?:mr|mrs|ms|dr|prof|herr|frau)\.?\s)?$", "introduces").search(before[-60:]):
        return True
    return _pattern(r"^\W?(?:%s)", "introduces_after").search(behind[:40]) is not None


def _is_address(turn: HeardTurn, span: Span) -> bool:
    """Whether a person is only greeted or signs here: nothing is said of them."""
    if span.entity != "PERSON":
        return False
    before, behind = turn.line_of(span)
    hails = _pattern(r"^\W*(?:%s)(?:(?:mr|mrs|ms|dr|prof|herr|frau)\.?\s)?\W*$", "hails").search(before[:80])
    greets = hails and re.match(r"\s?(?:님|씨|さん|様|さま)?\s*(?:[,.!:;~，。！]|$)", behind)
    honoured = not _LETTERS.search(before) and re.match(r"\s?(?:님|씨|さん|様|さま)\s*[,!，！]", behind)
    return bool(greets or honoured) or _signs(turn, span)


def _signs(turn: HeardTurn, span: Span) -> bool:
    """Whether a name stands at the end of a text as a signature does: alone in its line, behind a closing."""
    before, behind = turn.line_of(span)
    if _pattern(r"^(?:%s)\W*$", "closes_after").search(behind[:20]):
        return True
    head, _, own = turn.text[: span.start].rstrip(" \t").rpartition("\n")
    if _LETTERS.search(behind) or len(turn.text) - span.end > 200:
        return False
    closes = _pattern(r"(?:%s)\W{0,4}(?:(?:dr|prof)\.?\s)?$", "closes")
    if not _LETTERS.search(own):
        last = head.rstrip().rpartition("\n")[2]
        return len(last) < 60 and (closes.search(last) is not None or bool(re.search(r"[\w][,，]$", last)))
    return len(own) < 40 and closes.match(own.strip(" -–—~")) is not None


# ---- what a question is about -------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Wants:
    """What a sentence wants: advice, something done, something told (with an order for it), an answer."""

    advises: bool
    acts: bool
    informs: bool
    asks: bool
    orders: bool


def _wants(sentence: str) -> _Wants:
    acts = _pattern("%s", "acts").search(sentence) is not None
    informs = _pattern(r"^\W*(?:%s)", "informs").search(sentence) is not None
    asks = _asks(sentence)
    return _Wants(
        advises=_pattern("%s", "advises").search(sentence) is not None,
        acts=acts,
        informs=informs,
        asks=asks,
        orders=acts or informs or asks or _pattern("%s", "invents").search(sentence) is not None,
    )


def _is_asked_about(turn: HeardTurn, spans: Sequence[Span]) -> bool:
    """Whether a question is about something of what is replaced here, rather than naming it on the way.

    Every sentence is read once, however many spans are in it.
    """
    if not spans:
        return False
    letters = len(_LETTERS.findall(turn.text))
    starts, ends = _sentence_edges(turn)
    wants: dict[tuple[int, int], _Wants] = {}
    for span in spans:
        if letters - len(_LETTERS.findall(turn.text[span.start : span.end])) <= _FEW_WORDS:
            return True
        place = max(0, bisect_right(starts, span.start) - 1)
        start, end = (starts[place], ends[place]) if starts and span.start < ends[place] else (0, len(turn.text))
        order = _PASTED.match(turn.text, start, end)
        if order and order.end() <= span.start:  # what follows is a text to work on
            start = order.end()
        if (start, end) not in wants:
            wants[start, end] = _wants(turn.text[start:end])
        if _concerns(turn.text[start : span.start][-80:], turn.text[span.end : end], wants[start, end]):
            return True
    return False


def _concerns(before: str, behind: str, wants: _Wants) -> bool:
    """Whether a sentence is about what stands between these two ends of it."""
    if wants.advises:
        return False
    if wants.orders:
        named = _pattern(r"(?:%s)(?:\w+\s){0,3}[\"'“]?$", "concerns").search(before)
        if named or _pattern(r"^[\"'”]?(?:%s)", "concerns_after").search(behind):
            return True
    return not wants.acts and (wants.informs or wants.asks)


def _asks(sentence: str) -> bool:
    return bool(_QUESTION.search(sentence)) or languages.any_matches(sentence.strip(), lambda one: one.questions)


def _asks_on(question: str, earlier: bool) -> bool:
    """Whether a question is about somebody named before: by a word that stands for them, or for being too short to be
    about anything else."""
    last = [sentence for sentence in _sentences(question) if _LETTERS.search(sentence)][-1:]
    if not last or _pattern("%s", "advises").search(last[0]):
        return False
    asks = _asks(last[0]) or _pattern(r"^\W*(?:%s)", "informs").search(last[0]) is not None
    refers = asks and _pattern("%s", "refers_back").search(last[0]) is not None
    return refers or (earlier and len(_WORD.findall(question)) <= _SHORT_QUESTION)


# ---- what an answer states ----------------------------------------------------------------------------------


def _states(answer: HeardTurn, heard: Heard) -> bool:
    """Whether the answer names a person whom nobody named to it, a number or link that was asked for, or little else."""
    question = heard.question
    stated = [span for span in heard.of_others(answer.spans) if not _is_address(answer, span)]
    if not stated:
        return False
    persons = [span for span in stated if span.entity == "PERSON"]
    invents = _pattern("%s", "invents").search(question.text) is not None
    if persons and not invents and _pattern("%s", "asks_who").search(question.text):
        return True
    new = heard.unheard(stated)
    if not invents and any(span.entity == "PERSON" for span in new):
        return True
    asked = (_ASKED_FOR.get(span.entity, _ASKED_FOR_ID) for span in new if span.entity != "PERSON")
    return _is_all_of(answer, new) or any(re.search(words, question.text, re.IGNORECASE) for words in asked)


def _is_all_of(answer: HeardTurn, spans: Sequence[Span]) -> bool:
    """Whether hardly anything is left of the answer without these: they are the answer."""
    if not spans:
        return False
    rest = _without(answer.text, answer.spans)
    letters = len(_LETTERS.findall(rest))
    covered = sum(len(_LETTERS.findall(answer.text[span.start : span.end])) for span in spans)
    empty = languages.all_words(lambda one: one.empty_words)
    words = [word for word in _WORD.findall(rest.casefold()) if word not in empty]
    return letters <= _FEW_LETTERS or len(words) < _FEW_WORDS or covered > letters


# ---- words --------------------------------------------------------------------------------------------------


def _sentences(text: str) -> Iterator[str]:
    return (match[0] for match in _SENTENCE.finditer(text) if match[0].strip())


def _sentence_edges(turn: HeardTurn) -> tuple[list[int], list[int]]:
    """Where the sentences of a turn begin and end; dots inside what is replaced end nothing."""
    plain, done = [], 0
    for span in turn.spans:
        plain += [turn.text[done : span.start], "x" * (span.end - max(done, span.start))]
        done = max(done, span.end)
    plain.append(turn.text[done:])
    matches = [match for match in _SENTENCE.finditer("".join(plain)) if match.end() > match.start()]
    return [match.start() for match in matches], [match.end() for match in matches]


def _without(text: str, spans: Sequence[Span]) -> str:
    pieces, done = [], 0
    for span in spans:
        pieces.append(text[done : span.start])
        done = span.end
    return "".join([*pieces, text[done:]])


@cache
def _pattern(frame: str, part: str) -> re.Pattern[str]:
    return languages.joined(frame, lambda language: str(getattr(language.naming, part)), getattr(_OTHERS, part))
