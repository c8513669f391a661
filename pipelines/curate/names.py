"""Person names by rules and a gazetteer: cues, titles, greetings, signatures, speech, and known given names.

    my name is {deepak}   Dr. {Nakamura}   Thanks,\\n{Hannah}   my boss {Greg}   {이준호} 과장님   제 이름은 {박서윤}이고   {민지}야

Best effort: tests/pipelines/curate measures it on hand-written chat. A configured model adds to it.
"""

import re
import time
from collections.abc import Iterator, Sequence

import regex

from pipelines.curate.gazetteer import TWO_SYLLABLE_SURNAMES, Gazetteer, gazetteer
from pipelines.curate.particles import has_final
from pipelines.curate.recognizers.bounded import DetectionTimedOut
from pipelines.curate.words import words

_WORD = r"(?:[A-Z][a-zà-ÿ]{1,20}|[A-Z]'?[A-Z][a-zà-ÿ]{1,20}|[A-Z]{2,16}|[A-Z][a-z]{1,10}['’-][A-Z][a-zà-ÿ]{1,20})(?![A-Za-z0-9_])"
_FULL = rf"{_WORD}(?:[ ](?:[A-Z]\.|al-|de|da|van|von|bin|del|di)?[ ]?{_WORD}){{0,2}}"
NOT_NAMES = words("latin_not_names")
_TITLE = r"(?:Mr|Mrs|Ms|Miss|Mx|Dr|Prof|Professor|Doctor|Sir|Madam|Judge|Officer|Captain|Father|Sister|Nurse|Uncle|Aunt|Auntie|Coach|Grandma|Grandpa|Granny|Nana|President|Senator|Governor|Mayor|King|Queen|Prince|Princess|Detective|Sergeant|Lieutenant|Colonel|Reverend|Rev|Pastor|Rabbi|Imam)\.?"
_RELATION = (
    r"(?:friend|best friend|boss|manager|wife|husband|son|daughter|brother|sister|mother|father|mum|mom|dad|neighbou?r|landlord|landlady|"
    r"doctor|dentist|teacher|tutor|colleague|coworker|co-worker|ex|girlfriend|boyfriend|fianc[eé]e?|partner|advis[eo]r|supervisor|roommate|"
    r"flatmate|kid|baby|nephew|niece|cousin|uncle|aunt|grandma|grandpa|client|patient|student|lawyer|therapist|nurse|assistant|intern)"
)
_STRONG = (
    r"(?i:\bmy (?:full )?name(?: is|'s|:)|\bmy name,|\bi am called|\bcall(?:ed)? me|\bnamed|\bsigned(?: by|,)?|\bauthor:|\bcontact:|\bpatient:?|"
    r"\bcustomer:|\bname:|\bfrom:|\bto:|\battn:?|\battention:?|\bsender:|\brecipient:|\bon behalf of|\bregards,|\bsincerely,|\bcheers,|"
    r"\byours(?: truly| faithfully)?,|\bbest,|\b(?:she|he)(?:'s| is) called|\bthe name is|\bthis is|\bspeaking with|\bact as|\bpackage for)\s{1,3}"
)
_WEAK = (
    r"(?i:\bi'?m|\bi am|\bdear|\bhi|\bhello|\bhey|\bthanks,|\bthank you,|\bthx,|\bask|\btell|\bcall|\bcan|\bdid|\bcopy|\bforward it to|"
    r"\bsend it to|\breply to|\bsent by|\bwritten by|\bmet|\bmeet|\bwith|\binvite|\bemail|\btext|\bfor my [a-z]{3,12}|\beveryone says|\bcc)\s{1,3}"
)
_PLACE = r"(?:capital|river|city|town|country|village|island|mountain|lake|province|region|population|currency|language|food|animal|king|queen)"
_PLACE_WORD = re.compile(rf"{_PLACE}\s(?:of|in)\s|'s\s{_PLACE}")
_SPEECH = r"(?:said|says|told|asked|asks|texted|called|wrote|replied|thinks|keeps|sent|wants|borrowed|promised|agreed|refused|emailed|mentioned|complained)"
_HONORIFIC = "씨|님|군|양|대리|과장|차장|부장|팀장|사장|대표|교수|선생|박사|이사|상무|전무|실장|주임|사원|고객|환자|변호사|기자|감독|선수|작가|의원|원장|간호사|매니저|코치"
_SPEAKS = re.compile(rf"\s{_SPEECH}\b")
_LATIN = regex.compile("[a-zA-Z]")
_HANGUL = regex.compile("[가-힣]")
_PARTICLE = "입니다|이에요|예요|이라고|라고|인데요?|이고|이며|에게서?|한테서?|께서?|이랑|랑|하고|와|과|이가|이는|이를|이도|이의|이한테|이랑|이와|가|이|은|는|을|를|의|야|아|도|처럼|보다|만|으로|로"
_RELATIVE = "남편|아내|딸|아들|친구|동생|누나|오빠|언니|형|남친|여친|남자친구|여자친구|조카"
_HANGUL_PLACE_NAME = "(?:수도|강|도시|나라|섬|산|호수|음식|동물|마을|역|시장|왕|여왕|언어|화폐|인구)"
_HANGUL_PLACE = regex.compile(
    rf"(?<![가-힣])([가-힣]{{2,8}}?)(?:의|이?라는)?\s(?:나라의\s)?{_HANGUL_PLACE_NAME}(?![가-힣]{{3}})"
)
_HANGUL_PLACE_WORD = re.compile(rf"[가-힣]\s{_HANGUL_PLACE_NAME}(?![가-힣]{{3}})")
_NOUN_ENDINGS = frozenset("자성실원인상형수지선주도재미일기비장식정물제사용화력전과조단구간부신대고가서")
_KIN = "씨|님|오빠|언니|누나|형|쌤|샘|할머니|할아버지|어린이|이모|삼촌|군|양"
# Particles that follow persons far more often than things.
_STRONG_PARTICLE = "한테|한테서|에게|에게서|께|께서|이한테|이랑|랑"
_GIVEN_PARTICLE = rf"(?:{_STRONG_PARTICLE}|이가|이는|이를|이도|이의|이와|이보다|이처럼|야|아|가|이|은|는|을|를|의|와|과|도|입니다|예요|이에요|이야)"
_AFTER_NAME = rf"(?=\s?(?:{_HONORIFIC})(?:님|께|에게|한테|이|가|은|는|을|를|의|랑|도|[^가-힣]|$)|(?:{_PARTICLE})(?![가-힣])|[^가-힣]|$)"
_HANGUL_CUE = (
    "이름은|이름이|성함은|성함이|저는|제가|나는|보낸 사람:|받는 사람:|작성자:|수신인:|발신인:|담당자는|담당자:|담당자|환자|남편|아내|와이프|딸|아들|친구|동생|누나|오빠|언니|형|"
    "집주인|이웃|신랑|신부|본명은|필명은|명의는|명의자|참석|불참|참석자|동료|상사|팀장|선배|후배|남친|여친|남자친구|여자친구|조카|면접관"
)
_HANGUL_STOP = words("hangul_not_names")


_LOOK_EVERY = 500  # matches


class _Search:
    """One text on its way through all patterns: they have the time together, so that no number of them adds up.

    It is processor time, as it is in `regex`: a busy machine must not decide what is quarantined.
    """

    def __init__(self, text: str, seconds: float) -> None:
        self.text = text
        self._until = time.process_time() + seconds

    def each(self, pattern: regex.Pattern[str], overlapped: bool = False) -> Iterator[regex.Match[str]]:
        """The matches of a pattern. Raises TimeoutError once the time is over."""
        matches = pattern.finditer(self.text, overlapped=overlapped, timeout=self._left())
        for number, match in enumerate(matches, 1):
            if number % _LOOK_EVERY == 0:  # the search's own time-out is of one match, and there may be many
                self._left()
            yield match

    def _left(self) -> float:
        left = self._until - time.process_time()
        if left <= 0:
            raise TimeoutError
        return left


class NameRules:
    """Finds (start, end) of person names by rules; built once per process."""

    def __init__(self, timeout_seconds: float) -> None:
        self._names = gazetteer()
        self._timeout_seconds = 1.5 * timeout_seconds  # of all rules together, over one text
        flags = regex.MULTILINE
        self._strong = regex.compile(
            rf"{_STRONG}(?:{_TITLE}\s)?({_FULL}|[a-z]{{2,20}}(?:\s[a-z]{{2,20}})?(?![\w]))", flags
        )
        self._weak = regex.compile(rf"{_WEAK}(?:{_TITLE}\s)?({_FULL})", flags)
        self._titled = regex.compile(rf"(?<![A-Za-z]){_TITLE}\s({_FULL})", flags)
        self._related = regex.compile(
            rf"(?i:\b(?:my|his|her|our|their|your|the)\s(?:\w{{2,12}}\s)?{_RELATION}(?:'s name)?,?(?: is| called| named)?)\s({_FULL}|[a-z]{{3,20}}(?![\w]))",
            flags,
        )
        self._speaking = regex.compile(rf"(?<![\w@.])({_FULL})(?=\s{_SPEECH}\b)", flags)
        self._both = regex.compile(rf"(?<![\w@./#-])({_FULL})(,? and |, | & |/)({_FULL})(?!['’]?\w)", flags)
        self._initial = regex.compile(rf"(?<![\w.])((?:[A-Z]\.\s?){{1,2}}{_WORD})", flags)
        self._place = regex.compile(
            rf"(?i:\b{_PLACE}\s(?:of|in)\s)({_WORD})(?:(?i:\s(?:is|was|are|now|called|named)){{1,2}}\s({_WORD}))?|({_WORD})(?='s\s(?i:{_PLACE})\b)|(?i:\b{_PLACE}\sof\s[\w ]{{1,30}}?\s(?:is|was)\s)({_WORD})",
            flags,
        )
        self._capital = regex.compile(
            rf"(?<![\w@./#-])({_WORD})((?:[ ](?:[A-Z]\.[ ]|al-|de[ ]|van[ ]|von[ ])?{_WORD}){{0,2}})", flags
        )
        self._hangul = _hangul_patterns(self._names)

    def find(self, text: str, places: frozenset[str] = frozenset()) -> list[tuple[int, int]]:
        """Spans of names in a normalised text, overlapping ones united; DetectionTimedOut if all rules take too long.

        `places` are words that are no names here, from `places` of all texts of the conversation.
        """
        search = _Search(text, self._timeout_seconds)
        try:
            spans = list(self._latin(search, places)) if _LATIN.search(text) else []
            spans += self._korean(search, places) if _HANGUL.search(text) else []
        except TimeoutError:
            raise DetectionTimedOut(f"name rules took longer than {self._timeout_seconds} s") from None
        return _united(spans)

    def places(self, text: str) -> frozenset[str]:
        """Words that the text itself makes places or things: `the capital of Banoko is Lina`, `바노코의 수도는`."""
        search = _Search(text, self._timeout_seconds)
        try:
            found = list(search.each(self._place)) if _PLACE_WORD.search(text.lower()) else []
            if _HANGUL_PLACE_WORD.search(text):
                found += search.each(_HANGUL_PLACE)
        except TimeoutError:
            raise DetectionTimedOut(f"name rules took longer than {self._timeout_seconds} s") from None
        return frozenset(word for match in found for word in match.groups() if word)

    def _latin(self, search: "_Search", places: frozenset[str]) -> Iterator[tuple[int, int]]:
        for pattern in (self._titled, self._strong, self._related):
            for match in search.each(pattern):
                yield from self._trimmed(
                    match[1], match.start(1), lower_allowed=pattern is not self._titled, known=False
                )
        for pattern in (self._weak, self._speaking) if _SPEAKS.search(search.text) else (self._weak,):
            for match in search.each(pattern):
                yield from self._trimmed(match[1], match.start(1), lower_allowed=False, known=True)
        listed = [span for match in search.each(self._capital) for span in self._listed(match, places)]
        yield from listed
        yield from self._coordinated(search, listed, places)
        for match in search.each(self._initial):
            if match[1].split(".")[-1].strip().lower() in self._names.latin_surnames:
                yield match.span(1)

    def _coordinated(
        self, search: "_Search", listed: Sequence[tuple[int, int]], places: frozenset[str]
    ) -> Iterator[tuple[int, int]]:
        """`Nate and Simone`, `Ruth, Amos Feldman`: beside a listed name stands another, unless it is a common word."""
        if not listed:
            return
        names = set(listed)
        for match in search.each(self._both, overlapped=True):
            first, second = match.span(1), match.span(3)
            if not {match[1].split(" ")[0], match[3].split(" ")[0]} & places and (first in names) != (second in names):
                other = second if first in names else first
                words = search.text[slice(*other)].split(" ")
                if not any(word.lower() in NOT_NAMES for word in words) and not _is_shouted(words):
                    names.add(other)
                    yield other

    def _trimmed(self, name: str, start: int, *, lower_allowed: bool, known: bool) -> Iterator[tuple[int, int]]:
        words = name.split(" ")
        while words and words[-1].lower().strip(".") in NOT_NAMES:
            words.pop()
        if not words or words[0].lower() in NOT_NAMES:
            return
        first = words[0].lower()
        listed = first in self._names.given or first in self._names.given_also_words
        if words[0].islower():
            if lower_allowed and listed:
                yield start, start + len(words[0])
        elif not known or listed or (len(words) > 1 and words[-1].lower() in self._names.latin_surnames):
            yield start, start + len(" ".join(words))

    def _listed(self, match: regex.Match[str], places: frozenset[str]) -> Iterator[tuple[int, int]]:
        """The known name within a run of capitalised words: `Is Svetlana` holds one, `The Bank` none."""
        words = match[0].split(" ")
        start = match.start()
        while words and words[0].lower() in NOT_NAMES and words[0].lower() not in self._names.given:
            start += len(words.pop(0)) + 1
        while words and words[-1].lower() in NOT_NAMES:
            words.pop()
        if not words or words[0] in places:
            return
        first, last = words[0].lower(), words[-1].lower()
        has_surname = len(words) > 1 and last in self._names.latin_surnames and last not in self._names.given_also_words
        if first in self._names.given or (
            has_surname and not (_is_shouted(words[:1]) and first not in self._names.given_also_words)
        ):
            yield start, start + len(" ".join(words))

    def _korean(self, search: "_Search", places: frozenset[str]) -> list[tuple[int, int]]:
        """The longest name that begins at each place. Twelve patterns find much the same words: each is judged once."""
        ends: dict[int, int] = {}
        judged: dict[tuple[str, str], str | None] = {}
        for pattern, check in self._hangul:
            for match in search.each(pattern):
                start, end = match.span(1)
                if ends.get(start, 0) >= end:
                    continue
                word = search.text[start:end]
                if (word, check) not in judged:
                    judged[word, check] = self._judge(word, check, places)
                name = judged[word, check]
                if name is not None:
                    ends[start] = max(ends.get(start, 0), start + len(name))
        return list(ends.items())

    def _judge(self, word: str, check: str, places: frozenset[str]) -> str | None:
        """The name that a word is, without its particle; None if it is none."""
        name = self._without_particle(word)
        is_name = name not in _HANGUL_STOP and name not in places and self._looks_like_a_name(name, check)
        return name if is_name else None

    def _without_particle(self, name: str) -> str:
        """장혁이 -> 장혁, 하은이 -> 하은: a name's own last syllable is hardly ever 이, 야 or 아 behind a consonant."""
        shorter = name[:-1]
        if (
            name[-1] in "이야아"
            and len(shorter) >= 2
            and name[1:] not in self._names.hangul_given
            and has_final(shorter[-1])
        ):
            return shorter if name not in self._names.hangul_given else name
        return name

    def _looks_like_a_name(self, name: str, check: str) -> bool:
        """`none` asks nothing; `given` and `listed` want a listed given name, alone or behind a surname; `loose` and
        `strict` go by the syllables of the given name, strict without the usual endings of nouns."""
        names = self._names
        given = name[2:] if name[:2] in TWO_SYLLABLE_SURNAMES else name[1:]
        if check == "none" or check.startswith("given"):
            return (
                check == "none"
                or name in names.hangul_given
                or ("noun" in check and name in names.hangul_given_also_words)
            )
        if not given or (given in _HANGUL_STOP and check != "listed or noun"):
            return False
        if check == "loose":
            return given[0] in names.hangul_first and given[-1] in names.hangul_last
        if check == "listed or noun":
            return given in names.hangul_given or given in names.hangul_given_also_words
        if given[-1] == "하":  # 이동하는, 유지하고: the verb 하다, not a name
            return False
        usual = check == "strict" and given[-1] not in _NOUN_ENDINGS and names.is_usual_hangul(given)
        return given in names.hangul_given or usual


def _is_shouted(words: Sequence[str]) -> bool:
    return any(word.isupper() and len(word) > 1 for word in words)


def _hangul_patterns(names: Gazetteer) -> list[tuple[regex.Pattern[str], str]]:
    """(pattern, check): wide patterns, whose first group `_looks_like_a_name` then checks against the lists.

    Alternations of hundreds of names would be tried one by one at every position.
    """
    surname = "(?:" + "|".join(TWO_SYLLABLE_SURNAMES) + "|[" + "".join(s for s in names.surnames if len(s) == 1) + "])"
    common = "[" + "".join(s for s in names.surnames if len(s) == 1 and s not in names.rare_surnames) + "]"
    head = "(?<![가-힣])"
    weak = rf"(?:{_GIVEN_PARTICLE}|으로|로|이고|이래요?|라고|이라고)(?![가-힣])|,\s|\.\s|\.$"
    honoured = rf"\s?(?:{_HONORIFIC})(?:님|께|에게|한테|이|가|은|는|을|를|의|랑|도|[^가-힣]|$)"
    rows = [
        (rf"{head}({common}[가-힣]{{2}}){_AFTER_NAME}", "listed"),
        (rf"{head}({common}[가-힣]{{2}})(?=\s?(?:{_HONORIFIC})|(?:{_STRONG_PARTICLE})(?![가-힣]))", "listed or noun"),
        (
            rf"{head}({surname}[가-힣]{{2}})(?=\s?(?:씨|대리|과장|차장|부장|주임)(?:님|께|에게|한테|이|가|은|는|을|를|의|랑|도|[^가-힣]|$))",
            "none",
        ),
        (rf"{head}({surname}[가-힣]{{1,2}})(?={honoured})", "loose"),
        (rf"(?:{_HANGUL_CUE})\s?({surname}[가-힣]{{2}}){_AFTER_NAME}", "loose"),
        (rf"(?:이름은|성함은|저는|제가)\s?({surname}[가-힣])(?=입니다|이라고|라고|이에요|예요|인데)", "none"),
        (rf"{head}([가-힣]{{2}})(?=\s?(?:{_KIN})|{_GIVEN_PARTICLE}(?![가-힣])|[,.!?:;)\n]|$)", "given"),
        (rf"(?:{_RELATIVE})\s([가-힣]{{2}})(?=이|가|는|은|랑|한테|의|를|야|아|[^가-힣]|$)", "given or noun"),
        (rf"{head}({surname}[가-힣]{{2}})(?=\s?(?:드림|올림|배상))", "loose"),
        (rf"{head}({surname}[가-힣]{{2}})(?=\s?:\s|\s(?:{_KIN})(?![가-힣]{{2}}))", "loose"),
        (rf"{head}({common}[가-힣]{{2}})(?=(?:씨|님|{_STRONG_PARTICLE})(?![가-힣]))", "loose"),
        (rf"{head}({common}[가-힣]{{2}})(?={weak})", "strict"),
    ]
    return [(regex.compile(pattern, regex.MULTILINE), check) for pattern, check in rows]


def _united(spans: list[tuple[int, int]]) -> list[tuple[int, int]]:
    united: list[tuple[int, int]] = []
    for start, end in sorted(set(spans)):
        if united and start < united[-1][1]:
            united[-1] = (united[-1][0], max(end, united[-1][1]))
        else:
            united.append((start, end))
    return united
