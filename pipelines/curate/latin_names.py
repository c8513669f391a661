"""Names in letters that have capitals (Latin, Greek, Cyrillic), by what stands around them and by lists.

    my name is {deepak}   Frau {Schneider}   Thanks,\\n{Hannah}   Pizza, {Nadia}?   Tenant: {Łukasz Wiśniewski}   {Oluwaseun Adeyemi} called

A word is a name by itself if a list of given names has it and no dictionary does. Of two words, one may be unknown. What no list
knows counts only where nothing but a person stands: behind `my name is`, `Mr`, `spoke with`, before `told`, after a closing.
"""

from collections.abc import Iterator, Sequence

import regex

from pipelines.curate.gazetteer import Gazetteer
from pipelines.curate.name_search import NameSearch
from pipelines.curate.words import words

NOT_NAMES = words("latin_not_names")
_ORDINARY = words("common_words") | words("places") | NOT_NAMES
_LOWER = r"[\p{Ll}\p{M}]"
_WORD = (
    rf"(?:\p{{Lu}}{_LOWER}{{0,2}}['’]?\p{{Lu}}?{_LOWER}{{1,20}}(?:[-'’]\p{{L}}{_LOWER}{{1,20}}){{0,2}}|\p{{Lu}}['’]?\p{{Lu}}{{1,16}}(?:-\p{{Lu}}{{2,16}})?)"
    r"(?![\p{L}\p{N}_])"
)
_SMALL = r"(?:al-|el-|(?:de|da|das|do|dos|van|von|bin|ibn|binti|del|della|di|du|la|le|der|den|ter|ten|het|zu|af|av|y|e|Mac|Mc|Ó|O|Ní|Ap)[ ])"
_FULL = rf"{_WORD}(?:[ ](?:\p{{Lu}}\.[ ]?(?:\p{{Lu}}\.[ ]?)?|{_SMALL}{{1,2}})?{_WORD}){{0,3}}"
_TWO = rf"{_WORD}(?:[ ](?:\p{{Lu}}\.[ ]?|{_SMALL}{{1,2}})?{_WORD}){{1,3}}"
_PARTICLES = frozenset(
    [
        "al-",
        "el-",
        "de",
        "da",
        "das",
        "do",
        "dos",
        "van",
        "von",
        "bin",
        "ibn",
        "binti",
        "del",
        "della",
        "di",
        "du",
        "la",
        "le",
        "der",
        "den",
        "ter",
        "ten",
        "het",
        "zu",
        "af",
        "av",
        "y",
        "e",
        "mac",
        "mc",
        "ó",
        "o",
        "ní",
        "ap",
    ]
)
_TITLE = (
    r"(?:(?:Mr|Mrs|Ms|Miss|Mx|Dr|Prof|Professor|Doctor|Sir|Madam|Lord|Lady|Judge|Justice|Officer|Captain|Capt|Father|Sister|Nurse|Uncle|Aunt|Auntie|Coach|Grandma|Grandpa|Granny|Nana|"
    r"President|Senator|Governor|Mayor|King|Queen|Prince|Princess|Detective|Sergeant|Sgt|Lieutenant|Colonel|Reverend|Rev|Pastor|Rabbi|Imam|Sheikh|Councillor|Cllr|"
    r"Herrn?|Frau|Fräulein|Hr|Fr|Dipl\.-Ing|Monsieur|Madame|Mademoiselle|M(?=\.)|Mme|Mlle|Maître|monsieur|madame|"
    r"[Ss]eñora?|[Ss]eñorita|Sr|Sra|Srta|Don(?=\s)|Doña|[Ss]ignora?|Sig|Dott|[Ss]enhora?|Meneer|Mevrouw|[Gg]ospodin|Pan[iě]?(?=\s\p{Lu}\p{Ll}+(?:ski|ska|ová|á|ek|ík)\b))\.?)"
)
_RELATION = (
    r"(?:friend|best friend|boss|manager|wife|husband|son|daughter|brother|sister|mother|father|mum|mom|dad|neighbou?r|landlord|landlady|tenant|"
    r"doctor|dentist|teacher|tutor|colleague|coworker|co-worker|ex|girlfriend|boyfriend|fianc[eé]e?|partner|advis[eo]r|supervisor|roommate|(?:brother|sister|mother|father|son|daughter)-in-law|"
    r"flatmate|kid|baby|nephew|niece|cousin|uncle|aunt|grandma|grandpa|grandson|granddaughter|stepson|stepdaughter|client|patient|student|lawyer|therapist|nurse|assistant|intern|trainee|buddy|mate)"
)
# Behind these stands a name and nothing else: any word will do.
_NAMED = (
    r"(?i:\bmy (?:full |first |last |real )?name(?: is|['’]s|:)|\bmy name,|\bi am called|\bcall(?:ed)? me|\bnamed|\b(?:she|he|who)(?:['’]s| is| was) (?:called|named)|\bthe name is|\bname['’]s|\bspeaking with|\bpackage for|\beveryone (?:says|calls (?:me|him|her|them))|\bgoes by|\bknown as|\bnicknamed|\bfriends call (?:me|him|her)|"
    r"\bich heiße|\bmein name ist|\bje m['’]appelle|\bmon nom est|\bme llamo|\bmi nombre es|\bmi chiamo|\bmeu nome é|\bchamo-me|\bik heet|\bmijn naam is|\bnazywam się|\bjmenuji se|\bjag heter|\bjeg hedder|\bbenim adım|\bменя зовут|\bмене звати)\s{1,3}"
)
# Behind these may stand a thing as well: no ordinary word.
_LABEL = (
    r"(?i:\b(?:name|full name|first name|last name|surname|given name|from|to|cc|attn|attention|sender|recipient|author|contact|contact person|patient|customer|client|employee|tenant|landlord|guarantor|witness|applicant|claimant|"
    r"defendant|plaintiff|buyer|seller|borrower|lender|insured|beneficiary|supervisor|manager|director|attendees?|participants?|present(?: were)?|absent|signed|assignee|reporter|reviewer|owner|student|teacher|guest|passenger|driver|caller|speaker|"
    r"candidate|cardholder|account holder|ship to|bill to|deliver to|emergency contact|next of kin|nom|prénom|nombre|apellidos?|nome|vorname|nachname|ansprechpartner(?:in)?|kunde|mieter(?:in)?|interviewee|host|chair|minutes by|prepared by|approved by)\s?[:|=]\s{0,2}[\"'*_]{0,2}|"
    r"\bpatient\s|\bsigned by\s|\bon behalf of\s|\bact as\s|\bthis is\s|\bit['’]s me,\s|\bpresent were\s)"
)
_CLOSING = (
    r"(?i:\b(?:(?:best|kind|kindest|warm|warmest)(?: regards| wishes)?|regards|sincerely|respectfully|cordially|faithfully|cheers|thanks|thank you|many thanks|with thanks|thx|love|lots of love|hugs|warmly|yours|"
    r"(?:yours |very )?(?:truly|sincerely|faithfully|respectfully)(?: yours)?|all the best|take care|xoxo|(?:mit )?(?:freundlichen|besten|herzlichen|lieben) gr(?:ü|ue)(?:ß|ss)en|(?:viele|liebe|beste|herzliche) gr(?:ü|ue)(?:ß|ss)e|lg|mfg|vg|"
    r"cordialement|bien à vous|amicalement|sincères salutations|saludos(?: cordiales)?|atentamente|un saludo|un abrazo|cordiali saluti|atenciosamente|abraços|met vriendelijke groet(?:en)?)\b\s?[,.!–-]{0,2}\s{1,4})"
)
_GREETING = (
    r"(?i:\b(?:hi|hello|hey|hiya|dear|good morning|good afternoon|good evening|welcome(?: back)?|congratulations|congrats|happy birthday|thanks|thank you|thx|sorry|bye|goodbye|ok|okay|yes|no|sure|well|"
    r"hallo|hi|liebe[rs]?|guten (?:tag|morgen|abend)|servus|moin|sehr geehrte[rs]?|bonjour|salut|bonsoir|coucou|chère?|merci|hola|buenos días|buenas tardes|querid[oa]|estimad[oa]|gracias|ciao|caro|cara|gentile|olá|oi|caro|prezad[oa]|hej|hoi|beste|привет|здравствуйте|уважаем(?:ый|ая))[,!]?\s{1,2})"
)
_DONE = r"(?=\s?(?:[,.!?;:)\n–—]|$|and\s|&|\s-\s))"
# Verbs and prepositions whose object is mostly a person: a listed name, or two words that no dictionary has.
_TOWARDS = (
    r"(?i:\b(?:ask|asked|tell|told|call|called|phone|text|texted|email|emailed|message|contact|contacted|reach|meet|met|invite|invited|thank|remind|notify|inform|interview(?:ed)?|hired|fired|promoted|married|dated|"
    r"spoke (?:with|to)|speak (?:with|to)|talk(?:ed)? (?:with|to)|introduce me to|forward (?:it )?to|sen[dt] (?:it )?to|reply to|report(?:s|ed)? to|married to|divorced from|letter (?:for|to|from)|reference for|obituary for|"
    r"(?:signed|written|authored|reviewed|approved|prepared|painted|sent|led|represented|accompanied|drafted|endorsed) by|according to|cc)\s{1,2})"
)
_ASKED = r"(?i:\b(?:can|did|does|has|if|when|hope|think|thinks|says|for my [a-z]{3,12}),?\s{1,2})"
_HIRED = r"(?i:\b(?:my|our|his|her|their|the|new)\s(?:new )?(?:hire|recruit|candidate|employee|team lead|lead|ceo|cfo|cto|coo|founder|co-founder|engineer|designer|developer|recruiter|accountant|attorney|agent|vet|plumber|electrician|driver|nanny|babysitter|cleaner|trainer|coach|pastor)\s)"
_SPEECH = (
    r"(?:said|says|told|asked|asks|texted|called|calls|wrote|writes|replied|thinks|keeps|sent|wants|wanted|borrowed|promised|agreed|refused|emailed|mentioned|complained|declined|claimed|testified|signed|joined|resigned|retired|apologi[sz]ed|argued|"
    r"admitted|confirmed|explained|insisted|suggested|lives|lived|works|worked|died|married|phoned|answered|knows|believes|hopes|loves|hates|needs|(?:will|would) be joining|(?:has|have|had) (?:been|not|never|asked|signed|sent|told|called)|"
    r"is (?:my|our|his|her|their|your|a|an|the) (?:new |old )?(?:[a-z]+ ){0,1}(?:friend|boss|manager|teacher|doctor|neighbou?r|colleague|tenant|lawyer|dentist|cousin|uncle|aunt|brother|sister|husband|wife|son|daughter|nurse|coach|director|chair|ceo|cfo|cto))"
)
_ROLE = r"(?i:\bthe (?:witness|plaintiff|defendant|author|founder|chef|coach|editor|attorney|officer|candidate|applicant|nurse|victim|suspect|accused|deceased|owner|tenant|landlord|driver|interviewer|interviewee|chairman|chairwoman|director|manager|ceo|cfo|cto),?\s)"
_APPOSITION = r"(?=,\s(?:who|whom|whose|our|my|his|her|their|aged|born|age\s\d|\d\d\b|CEO|CFO|CTO|PhD|MD|Esq|Jr|Sr|RN|the (?:new |former )?[a-z]+ (?:of|at|for)\b|a [a-z]+ (?:from|at|of)\b)|\s?[(<\[]\s?[\w.+-]{1,40}@|\s?\((?:he|she|they|age|aged|born|\d\d\b))"
_OWNED = r"(?=['’]s\s(?:birthday|wedding|husband|wife|mother|father|mom|mum|dad|son|daughter|sister|brother|boss|phone|number|email|e-mail|address|house|car|desk|office|funeral|party|lawyer|doctor|resume|cv|salary|account|passport|mail|parents|kids|dog|cat|room|apartment)\b)"


class LatinNames:
    """The rules for names in letters with capitals; built once per process."""

    def __init__(self, names: Gazetteer) -> None:
        self._names = names
        flags = regex.MULTILINE

        def compiled(pattern: str) -> regex.Pattern[str]:
            return regex.compile(pattern, flags)

        title = rf"(?:{_TITLE}\s){{0,2}}"
        lower = r"[a-z]{2,20}(?:\s[a-z]{2,20})?(?![\w])"
        self._titled = compiled(rf"(?<![\p{{L}}.])(?:{_TITLE}\s){{1,2}}({_FULL})")
        self._named = compiled(rf"{_NAMED}{title}({_FULL}|{lower})")
        self._related = compiled(
            rf"(?i:\b(?:my|his|her|our|their|your|the)\s(?:\w{{2,12}}\s)?{_RELATION}(?:['’]s name)?,?(?: is| called| named)?)\s({_FULL}|[a-z]{{3,20}}(?![\w]))"
        )
        self._free = [  # what no dictionary has is a name there
            compiled(rf"{_LABEL}{title}({_FULL})"),
            compiled(rf"{_CLOSING}{title}({_FULL}){_DONE}"),
            compiled(rf"{_GREETING}{title}({_FULL}){_DONE}"),
            compiled(rf"(?<![\w@./#-])({_FULL}){_OWNED}"),
            compiled(rf"{_HIRED}({_FULL})"),
            compiled(
                rf"(?i:\bi['’]?m|\bi am|\bwho is|\bwho['’]s)\s({_FULL})(?=\s?(?:[,.!?;)\n]|$|and\s|from\s|here\b|calling\b))"
            ),
        ]
        self._two = [  # two words that no dictionary has are
            compiled(rf"{_TOWARDS}{title}({_FULL})"),
            compiled(rf"(?<![\w@./#-])({_FULL})(?=\s{_SPEECH}\b)"),
            compiled(rf"(?<![\w@./#-])({_FULL}){_APPOSITION}"),
            compiled(rf"{_ROLE}({_FULL})"),
        ]
        self._word = compiled(
            rf"(?:{_TOWARDS}|{_ASKED}|{_GREETING}(?=\p{{Lu}}\w{{2,16}}{_DONE}))({_WORD}|[a-z]{{4,16}}(?![\w'’]))"
        )
        self._both = compiled(rf"(?<![\w@./#-])({_FULL})(,? and |, | & |/|; )({_FULL})(?!['’]?\w)")
        self._initial = compiled(rf"(?<![\w.])((?:\p{{Lu}}\.[ ]?){{1,2}}{_WORD})")
        self._run = compiled(rf"(?<![\w@./#-])({_FULL})")

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
        for pattern in self._free:
            for match in search.each(pattern):
                yield from self._checked(match[1], match.start(1), places, least=1)
        for pattern in self._two:
            for match in search.each(pattern):
                yield from self._checked(match[1], match.start(1), places, least=2)
        listed = [span for match in runs for span in self._checked(match[1], match.start(1), places)]
        yield from listed
        yield from self._coordinated(search, listed, places)
        for match in search.each(self._initial):
            surname = match[1].split(".")[-1].strip().lower()
            if surname in self._names.latin_surnames and surname not in NOT_NAMES:
                yield match.span(1)

    def _is_ordinary(self, run: str) -> bool:
        """Whether all words of a run are in a dictionary, and none is a given name."""
        names = self._names
        return all(
            word in _ORDINARY and word not in names.given and word not in names.given_also_words
            for word in run.lower().split(" ")
        )

    def _cued(
        self, match: regex.Match[str], places: frozenset[str], *, lower_allowed: bool
    ) -> Iterator[tuple[int, int]]:
        """Behind a cue that leaves no doubt: all words up to one that is no name."""
        run, start = match[1].split(" "), match.start(1)
        while run and run[-1].lower().strip(".") in NOT_NAMES:
            run.pop()
        if not run or run[0].lower() in NOT_NAMES or run[0] in places:
            return
        if run[0].islower():
            if lower_allowed and run[0] in self._names.given and run[0] not in _ORDINARY:
                yield start, start + len(run[0])
            return
        yield start, start + len(" ".join(run))

    def _checked(
        self, name: str, start: int, places: frozenset[str], least: int | None = None
    ) -> Iterator[tuple[int, int]]:
        """The name within a run of capitalised words: `Is Svetlana` holds one, `The Bank` none.

        `least` is how many words, none of them in a dictionary, make a name that no list has; None if none do.
        """
        run = name.split(" ")
        while run and self._is_no_beginning(run):
            start += len(run.pop(0)) + 1
        dropped = ""
        while run and run[-1].lower().strip(".") in NOT_NAMES and not self._is_surname(run):
            dropped = run.pop()
        if not run or run[0] in places or (dropped and len(run) == 1 and dropped.lower() in words("places")):
            return
        if self._is_listed(run) or (least is not None and self._is_unknown(run, least)):
            yield start, start + len(" ".join(run))

    def _is_no_beginning(self, run: Sequence[str]) -> bool:
        first = run[0].lower()
        if first in self._names.given or first not in _ORDINARY:
            return first in _PARTICLES and first != "mac"
        return not (first in self._names.given_also_words and len(run) > 1 and run[1].lower() not in _ORDINARY)

    def _is_listed(self, run: Sequence[str]) -> bool:
        first, last = run[0].lower(), run[-1].lower()
        if len(run) == 1:
            return first in self._names.given and not (run[0].isupper() and len(first) < 4)
        if last in _ORDINARY and not (self._is_surname(run) and first in self._names.given):
            return False
        if first in self._names.given or (first in self._names.given_also_words and last not in _ORDINARY):
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

    def _is_unknown(self, run: Sequence[str], least: int) -> bool:
        """Whether none of the words, at least `least`, is in a dictionary: an unknown name."""
        if len([word for word in run if word.lower() not in _PARTICLES]) < least or _is_shouted(run):
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
    rf"(?i:name|called|call me|known as|goes by|heiße|llamo|chiamo|appelle|\b(?:my|his|her|our|their|your|the)\s(?:\w{{2,12}}\s)?{_RELATION}|\b(?:ask|told|tell|text|email|met|meet|call|contact|thank|invite)(?:ed)? [a-z]{{4}})"
)
_ASIAN_GIVEN = regex.compile(
    r"(?:(?:[bpmfdtnlgkhjqxzcsrwy]|zh|ch|sh|gy|hy|by|my|ny|ry|ky)?(?:yeo|eui|ae|ai|an|ang|ao|ei|en|eng|eo|eu|eun|eon|er|ia|ian|iang|iao|ie|in|ing|iong|iu|io|on|ong|oo|ou|oe|oi|ua|uai|uan|uang|ue|ui|un|uo|ui|"
    r"[aeiou]|yu|ya|ye|yi|yo|wa|we|wo)(?:n|ng|k|l|m|p)?-?){1,3}"
)


def _is_shouted(run: Sequence[str]) -> bool:
    return any(word.isupper() and len(word) > 1 for word in run)
