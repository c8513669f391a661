"""Names in letters that have capitals (Latin, Greek, Cyrillic), by what stands around them and by lists.

    my name is {deepak}   Frau {Schneider}   Thanks,\\n{Hannah}   Pizza, {Nadia}?   Tenant: {Łukasz Wiśniewski}   {Oluwaseun Adeyemi} called

A word is a name by itself if a list of given names has it and no dictionary does. Of two words, one may be unknown. What no list
knows counts only where nothing but a person stands: behind `my name is`, `Mr`, `spoke with`, before `told`, after a closing.
"""

from collections.abc import Iterator, Sequence

import regex

from pipelines.curate import latin_cues as cues
from pipelines.curate.gazetteer import Gazetteer, plain
from pipelines.curate.latin_cues import FULL, LEADING, PARTICLES, SMALL, WORD
from pipelines.curate.name_search import NameSearch
from pipelines.curate.words import words

NOT_NAMES = words("latin_not_names")
_ORDINARY = words("common_words") | words("places") | NOT_NAMES


_LEAST_SHOUTED = 6  # letters of a given name in capitals that counts alone: NINO and ANA are abbreviations
_ABBREVIATED = ("U.S.", "U.K.", "U.N.", "E.U.", "U. S.", "U. K.", "P.S.", "P. S.", "N.B.", "A.M.", "P.M.", "Ph.D.")
_ARTICLES = frozenset(["der", "den", "dem", "des", "y", "e"])  # `Herr der Ringe`: no particle without a `von` before it
_FIRMS = regex.compile(
    r"gmbh|ag|kg|ohg|gbr|ltd|llc|llp|inc|corp|plc|sarl|sas|srl|spa|bv|nv|oy|oyj|ab|aps|kft|sro|ltda|eirl|[\p{L}-]*(?:team|service|abteilung|dienst|center|zentrum|verein|amt|büro|leitung|verwaltung|support|verlag|bank|werke?)"
)


class LatinNames:
    """The rules for names in letters with capitals; built once per process."""

    def __init__(self, names: Gazetteer) -> None:
        self._names = names
        flags = regex.MULTILINE

        def compiled(pattern: str) -> regex.Pattern[str]:
            return regex.compile(pattern, flags)

        title = rf"(?:{cues.TITLE}\s){{0,2}}"
        lower = r"[a-z]{2,20}(?:\s[a-z]{2,20})?(?![\w])"
        self._titled = compiled(rf"(?<![\p{{L}}.])(?:{cues.TITLE}\s){{1,2}}({LEADING}{FULL})")
        self._named = compiled(rf"{cues.NAMED}{title}({LEADING}{FULL}|{lower})")
        self._related = compiled(
            rf"(?i:\b(?:my|his|her|our|their|your|the)\s(?:\w{{2,12}}\s)?{cues.RELATION}(?:['’]s name)?,?(?: is| called| named)?)\s({FULL}|[a-z]{{3,20}}(?![\w]))"
        )
        self._labelled = compiled(rf"(?:{cues.LABEL}|{cues.PART_FIELD}){title}({LEADING}{FULL})")
        self._turned = compiled(
            rf"(?:{cues.LABEL}|{cues.FULL_FIELD}){title}({LEADING}{FULL},[ ](?:\p{{Lu}}\.[ ]?)?{WORD}(?:[ ](?:\p{{Lu}}\.|{WORD}))?)(?=\s?(?:[,.;:)\"'|\n]|$))"
        )
        self._free = [  # what no dictionary has is a name there
            compiled(rf"{cues.CLOSING}{title}({LEADING}{FULL}){cues.DONE}"),
            compiled(rf"{cues.GREETING}{title}({LEADING}{FULL}){cues.DONE}"),
            compiled(rf"(?<![\w@./#-])({FULL}){cues.OWNED}"),
            compiled(rf"{cues.HIRED}({FULL})"),
            compiled(
                rf"(?i:\bi['’]?m|\bi am|\bwho is|\bwho['’]s)\s({FULL})(?=\s?(?:[,.!?;)\n]|$|and\s|from\s|here\b|calling\b))"
            ),
            compiled(rf"(?<![\w@./#-])({FULL})(?=\shere(?:\sfrom\b|[,.!]|$))"),
        ]
        self._two = [  # two words that no dictionary has are
            compiled(rf"{cues.TOWARDS}{title}({FULL})"),
            compiled(rf"(?<![\w@./#-])({FULL})(?=\s{cues.SPEECH}\b)"),
            compiled(rf"(?<![\w@./#-])({FULL}){cues.APPOSITION}"),
            compiled(rf"{cues.ROLE}({FULL})"),
            compiled(rf"{cues.ABROAD}({LEADING}{FULL})"),
            compiled(rf"{cues.BEING}({FULL})"),
            compiled(rf"{cues.DASHED}({FULL})(?=\s?(?:[,\n|]|$))"),
            compiled(rf"{cues.FULL_FIELD}({LEADING}{FULL})"),
        ]
        self._nicknamed = compiled(rf"(?<![\w@./#-])({WORD}[ ][\"“‘'(]{WORD}[\"”’')][ ]{SMALL}{{0,2}}{WORD})")
        self._word = compiled(
            rf"(?:{cues.TOWARDS}|{cues.ASKED}|{cues.GREETING}(?=\p{{Lu}}\w{{2,16}}{cues.DONE}))({WORD}|[a-z]{{4,16}}(?![\w'’]))"
        )
        self._both = compiled(rf"(?<![\w@./#-])({FULL})(,? and |, | & |/|; )({FULL})(?!['’]?\w)")
        self._initial = compiled(rf"(?<![\w.])(?<!\b[a-z]\.\s)((?:\p{{Lu}}\.[ ]?){{1,3}}(?:{SMALL}{{1,2}})?{WORD})")
        self._run = compiled(rf"(?<![\w@./#-])({FULL})")

    def find(self, search: NameSearch, places: frozenset[str]) -> Iterator[tuple[int, int]]:
        """Spans of names, some of them twice or within another."""
        runs = [match for match in search.each(self._run) if not self._is_ordinary(match[1])]
        if not runs and _LOWER_CUE.search(search.text) is None:
            return
        for pattern in (self._titled, self._named, self._related) if runs else (self._named, self._related):
            for match in search.each(pattern):
                yield from self._cued(match, places, lower_allowed=pattern is not self._titled)
        for match in search.each(self._word):
            if self._is_name_of_a_word(match[1]) and match[1] not in places:
                yield match.span(1)
        if runs:
            yield from self._among(search, runs, places)

    def _among(
        self, search: NameSearch, runs: Sequence[regex.Match[str]], places: frozenset[str]
    ) -> Iterator[tuple[int, int]]:
        """The names among runs of capitalised words of which not all are in a dictionary."""
        for match in search.each(self._labelled):
            yield from self._checked(match[1], match.start(1), places, least=1, shouted=True)
        for match in search.each(self._turned):
            if self._is_turned(match[1]):
                yield match.span(1)
        for patterns, least in ((self._free, 1), (self._two, 2)):
            for pattern in patterns:
                for match in search.each(pattern):
                    yield from self._checked(match[1], match.start(1), places, least=least)
        for match in search.each(self._nicknamed):
            if self._is_listed(regex.split(r"[ ][\"“‘'(].*?[\"”’')][ ]", match[1])):
                yield match.span(1)
        listed = [span for match in runs for span in self._checked(match[1], match.start(1), places)]
        yield from listed
        yield from self._coordinated(search, listed, places)
        for match in search.each(self._initial):
            if self._is_initialled(match[1]):
                yield match.span(1)

    def _is_initialled(self, name: str) -> bool:
        """`J. Smith`, and behind two initials any word that no dictionary has: `J. K. Rowling`."""
        surname = regex.split(r"[. ]", name)[-1].lower()
        if surname in NOT_NAMES or name.startswith(_ABBREVIATED):
            return False
        return surname in self._names.latin_surnames or (name.count(".") > 1 and surname not in _ORDINARY)

    def _is_turned(self, name: str) -> bool:
        """`MUSTERMANN, ERIKA`: one of the words is a given name, or no dictionary has any."""
        words_ = [word.lower().strip(".,") for word in name.split(" ") if word.lower() not in PARTICLES]
        if any(word in NOT_NAMES or _is_firms(word) for word in words_):
            return False
        return any(self._is_given(word) for word in words_) or not any(word in _ORDINARY for word in words_)

    def _is_given(self, word: str) -> bool:
        return word in self._names.given or plain(word) in self._names.given

    def _is_ordinary(self, run: str) -> bool:
        """Whether all words of a run are in a dictionary, and none is a given name."""
        names = self._names
        return all(
            word in _ORDINARY and not self._is_given(word) and word not in names.given_also_words
            for word in run.lower().split(" ")
        )

    def _cued(
        self, match: regex.Match[str], places: frozenset[str], *, lower_allowed: bool
    ) -> Iterator[tuple[int, int]]:
        """Behind a cue that leaves no doubt: all words up to one that is no name."""
        run, start = match[1].split(" "), match.start(1)
        while run and run[-1].lower().strip(".") in NOT_NAMES:
            run.pop()
        first = next((word for word in run if not word.islower()), run[0] if run else "")
        if not run or first.lower() in NOT_NAMES or first in places or run[0] in _ARTICLES:
            return
        if run[0].islower() and not any(word[:1].isupper() for word in run):
            if lower_allowed and run[0] in self._names.given and run[0] not in _ORDINARY:
                yield start, start + len(run[0])
            return
        yield start, start + len(" ".join(run))

    def _checked(
        self, name: str, start: int, places: frozenset[str], least: int | None = None, *, shouted: bool = False
    ) -> Iterator[tuple[int, int]]:
        """The name within a run of capitalised words: `Is Svetlana` holds one, `The Bank` none.

        `least` is how many words, none of them in a dictionary, make a name that no list has; None if none do. `shouted`:
        a name of two words may be in capitals.
        """
        run = name.split(" ")
        while run and self._is_no_beginning(run):
            start += len(run.pop(0)) + 1
        dropped = ""
        while run and run[-1].lower().strip(".") in NOT_NAMES and not self._is_surname(run):
            dropped = run.pop()
        if not run or run[0] in places or (dropped and len(run) == 1 and dropped.lower() in words("places")):
            return
        if self._is_listed(run) or (least is not None and self._is_unknown(run, least, shouted)):
            yield start, start + len(" ".join(run))

    def _is_no_beginning(self, run: Sequence[str]) -> bool:
        first = run[0].lower()
        if self._is_given(first) or first not in _ORDINARY:
            return first in PARTICLES and first != "mac" and not (run[0].islower() and len(run) > 1)
        return not (first in self._names.given_also_words and len(run) > 1 and run[1].lower() not in _ORDINARY)

    def _is_listed(self, run: Sequence[str]) -> bool:
        first, last = run[0].lower(), run[-1].lower()
        if len(run) == 1:
            return self._is_given(first) and not (run[0].isupper() and len(first) < _LEAST_SHOUTED)
        if last in _ORDINARY and not (self._is_surname(run) and self._is_given(first)):
            return False
        if self._is_given(first) or (first in self._names.given_also_words and last not in _ORDINARY):
            return True
        if _is_shouted(run[:1]) or first in _ORDINARY:
            return False
        return last in self._names.latin_surnames or self._is_asian(run)

    def _is_surname(self, run: Sequence[str]) -> bool:
        return len(run) > 1 and run[-1].lower() in self._names.latin_surnames

    def _is_asian(self, run: Sequence[str]) -> bool:
        """`Li Na`, `Xiaoming Zhao`, `Park Ji-woo`: one of the surnames, beside a word of at most three syllables."""
        if _is_shouted(run):
            return False
        surnames = self._names.asian_surnames
        for surname, others in ((run[0], run[1:]), (run[-1], run[:-1])):
            if surname.lower() in surnames and all(_ASIAN_GIVEN.fullmatch(word.lower()) for word in others):
                return True
        return False

    def _is_unknown(self, run: Sequence[str], least: int, shouted: bool = False) -> bool:
        """Whether none of the words, at least `least`, is in a dictionary: an unknown name."""
        own = [word for word in run if word.lower() not in PARTICLES]
        if len(own) < least or (_is_shouted(run) and not (shouted and len(own) > 1)):
            return False
        if any(_is_firms(word.lower().strip(".")) for word in own):
            return False
        return not any(word.lower().strip(".") in _ORDINARY for word in run)

    def _is_name_of_a_word(self, word: str) -> bool:
        """`Call Will`, `told jess`: a given name that is a word too, or one in lower case that is none."""
        lower = word.lower()
        if word.islower():
            return lower in self._names.given and lower not in _ORDINARY
        return lower in self._names.given_also_words and lower not in NOT_NAMES and lower not in words("places")

    def _coordinated(
        self, search: NameSearch, listed: Sequence[tuple[int, int]], places: frozenset[str]
    ) -> Iterator[tuple[int, int]]:
        """`Nate and Simone`, `Ruth, Amos Feldman`: beside a listed name stands another, unless it is an ordinary word.

        Behind a mere comma one word is not enough: `Pizza, Nadia?`
        """
        if not listed:
            return
        names = set(listed)
        for match in search.each(self._both, overlapped=True):
            first, second = match.span(1), match.span(3)
            if (first in names) == (second in names):
                continue
            other = second if first in names else first
            run = search.text[slice(*other)].split(" ")
            if run[0] not in places and self._is_unknown(run, 2 if match[2] in (", ", "/") else 1):
                names.add(other)
                yield other


# A name in small letters needs one of these.
_LOWER_CUE = regex.compile(
    rf"(?i:name|called|call me|known as|goes by|heiße|llamo|chiamo|appelle|\b(?:my|his|her|our|their|your|the)\s(?:\w{{2,12}}\s)?{cues.RELATION}|\b(?:ask|told|tell|text|email|met|meet|call|contact|thank|invite)(?:ed)? [a-z]{{4}})"
)
_ASIAN_GIVEN = regex.compile(
    r"(?:(?:[bpmfdtnlgkhjqxzcsrwy]|zh|ch|sh|gy|hy|by|my|ny|ry|ky)?(?:yeo|eui|ae|ai|an|ang|ao|ei|en|eng|eo|eu|eun|eon|er|ia|ian|iang|iao|ie|in|ing|iong|iu|io|on|ong|oo|ou|oe|oi|ua|uai|uan|uang|ue|ui|un|uo|ui|"
    r"[aeiou]|yu|ya|ye|yi|yo|wa|we|wo)(?:n|ng|k|l|m|p)?-?){1,3}"
)


def _is_firms(word: str) -> bool:
    """Whether a word ends the name of a firm, or is an office: `Serviceteam`, `GmbH`."""
    return _FIRMS.fullmatch(word) is not None


def _is_shouted(run: Sequence[str]) -> bool:
    return any(word.isupper() and len(word) > 1 and not word.endswith(".") for word in run)
