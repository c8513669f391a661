"""Dates of birth: a date beside the word for one, in the languages of the papers that ask for it.

    DOB: 03/07/1970   geb. 1.5.1973   née le 18 juin 1988   생년월일 84년 8월 1일   생일은 3월 2일   生年月日:昭和48年5月1日   1985년 2월생

A date alone is nobody's. Years before 1905 are history: `Mozart, geboren am 27. Januar 1756`.
"""

from presidio_analyzer import PatternRecognizer

from pipelines.curate.recognizers.bounded import patterns

_MONTH = (
    r"(?:jan|ene|gen|led|sty|feb|f[eé]v|lut|únor|m[aä]r|mrt|maa|b[rř]e|apr|avr|abr|ap|kwi|dub|may|mai|mei|maj|mag|mayo|kv[eě]|jun|jui|giu|cze|čer|jul|lug|lip|aug|ao[uû]|ago|sie|srp|sep|set|wrz|zář|o[ck]t|"
    r"ott|out|pa[zź]|říj|nov|lis|dec|dez|dic|d[eé]c|des|gru|pro|янв|фев|мар|апр|ма[йя]|июн|июл|авг|сен|окт|ноя|дек)\p{L}{0,8}\.?"
)
_YEAR = r"(?:19(?:0[5-9]|[1-9]\d)|20[0-3]\d)"
_DAY = r"(?:0?[1-9]|[12]\d|3[01])"
_ORDINAL = rf"(?:the\s)?{_DAY}(?:st|nd|rd|th|er|°|o|\.)?"
_WRITTEN = (
    rf"{_ORDINAL}[\s\-](?:of\s|de\s)?{_MONTH}(?:,?[\s\-](?:de\s|del\s)?(?:{_YEAR}|'?\d\d(?!\d))(?:\s?г\.)?)?(?!\w|,?\s\d)",
    rf"{_MONTH}\s(?:the\s)?{_DAY}(?:st|nd|rd|th)?(?:,?\s{_YEAR}|,\s'?\d\d)?(?!\w|,?\s\d)",
    rf"{_YEAR}[./\- ]{{1,2}}(?:0?[1-9]|1[0-2])[./\- ]{{1,2}}{_DAY}(?![\d])",
    rf"{_DAY}[./\- ]{{1,2}}{_DAY}[./\- ]{{1,2}}(?:{_YEAR}|\d\d)(?![\d])",
    rf"(?:{_YEAR}|\d\d)\s?년\s?(?:생\s?)?(?:1[0-2]|0?[1-9])\s?월(?:\s?{_DAY}\s?일)?",
    rf"(?:1[0-2]|0?[1-9])\s?월\s?{_DAY}\s?일",
    rf"(?:{_YEAR}|(?:昭和|平成|令和|大正)\s?(?:\d{{1,2}}|元))\s?年\s?(?:1[0-2]|0?[1-9])\s?月\s?{_DAY}\s?[日号]",
    rf"(?:1[0-2]|0?[1-9])\s?月\s?{_DAY}\s?[日号]",
    r"(?:19|20)?\d\d(?:0[1-9]|1[0-2])(?:0[1-9]|[12]\d|3[01])(?!\d)",
    rf"{_MONTH}\s{_YEAR}",
)  # fmt: skip
_DATE = rf"(?:{'|'.join(_WRITTEN)})"
_LABEL = (
    r"(?:(?<![a-z])(?:date[ _-]?of[ _-]?birth|birth[ _-]?dates?|birth[ _-]?day|d\.?\s?o\.?\s?b(?:irth)?(?![a-z])\.?|geburts(?:datum|tag)|geb\.?(?:[ -]?dat(?:um|\.)?)?(?=[\s:.]{1,3}\d)|date de naissance|"
    r"fecha (?:de )?nac(?:imiento|\.)?|f\.\s?nac\.?|data di nascita|data de nascimento|(?:dt\.?|data) nasc\.?|data urodzenia|data ur\.|geboorte(?:datum|dag)|f[öø]dsels?(?:datum|dato|dag)|födelsedatum|syntymäaika|datum narození|"
    r"anniversaire|cumpleaños|compleanno|aniversário|urodziny|verjaardag)|дата рождения|день рождения|дата народження|doğum tarihi|ημερομηνία γέννησης|생년월일|생일|출생일?자?|생년|生年月日|出生(?:年月)?日?期?|誕生日|生日)"
)
_LINK = (
    r"(?:[\s:=|\"'`(\[>,*_\-–]{0,4}(?:is|was|on|falls on|the|ist|lautet|war|am|est|le|es|el|è|il|é|em|to|:|은|는|이|가|は|が|是|为)?(?![a-z])[\s:=|\"'`(\[>*_\-–]{0,3}"
    r"(?:(?:음력|양력|농력)\s?)?)"
)
_SAID = (
    r"(?:\bi\s?(?:was|am|['’]m)\sborn(?:\sin\s\p{L}{2,20})?(?:\son)?(?:\sthe)?|(?:^|[,;(]\s?)born(?:\son|:)?(?:\sthe)?|\bgeb(?:oren)?\.?(?:\sam)?|\bné(?:e|\(e\))?\s(?:à\s\p{L}{2,20}\s)?le|\bnacid[oa]\s(?:en\s\p{L}{2,20}\s)?el(?:\sdía)?|"
    r"\bnat[oa]\s(?:a\s\p{L}{2,20}(?:\s\([a-z]{2}\))?\s)?il|\bnascid[oa]\s(?:em|a|no dia)|\b(?:urodzon[yaeą]|ur\.)(?:\sdnia)?|\bgeboren\s(?:op|te\s\p{L}{2,20}\sop)|\bfödd(?:\sden)?|\bfødt(?:\sden)?|\bnarozen[áý]?(?:\sdne)?|родил(?:ся|ась)|доғум)"
)  # fmt: skip
# One of these is in every text, in lower case, that holds such a date.
_HINTS = (
    *("birth", "born", "dob", "d.o.b", "d. o. b", "d o b", "do.b", "geb", "naiss", "né", "nac", "nat", "nasc", "urod", "ur.", "föd", "fød", "fod", "syntym", "naro", "рожд", "народж", "родил", "doğum"),
    *("γέννησ", "생", "誕", "生", "anniv", "cumple", "complea", "anivers", "verjaar"),
)  # fmt: skip


def may_hold_birth(lower: str) -> bool:
    """Whether a text in lower case is worth searching for dates of birth."""
    return any(hint in lower for hint in _HINTS)


def birth_date() -> PatternRecognizer:
    """Dates behind a label or a verb of birth, and before the Korean word for a year's or day's children."""
    return patterns(
        "BIRTH_DATE",
        [
            (rf"{_LABEL}{_LINK}\K(?<!\d){_DATE}", 0.7),
            (rf"{_SAID}[\s:]{{1,3}}\K(?<!\d){_DATE}", 0.6),
            (rf"(?<!\d){_DATE}(?=\s?생(?:$|[^가-힣]|입니다|이에요|예요|이고|인데|이라|이다|이며|으로|의\s))", 0.6),
            (rf"(?<!\d){_DATE}(?=\s(?:is|was|['’]s)\s(?:my|his|her|our [a-z]{{3,10}}['’]s)\s(?:birthday|date of birth|dob)\b)", 0.6),
        ],
    )  # fmt: skip
