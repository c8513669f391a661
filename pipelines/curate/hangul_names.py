"""Korean names: behind their cue or label, before a title or a particle, in lists of each other.

    제 이름은 {박서윤}이고   {이준호} 과장님   성명: {김나라}   대표이사 {남궁솔} (인)   참석자: {곽도경}, {노하람}   원고 {옥지안}

A given name may be any word (나라, 슬기): there the label decides. Elsewhere a word counts whose syllables are a name's and
which the list of nouns does not have, with its particle or without.
"""

import regex

from pipelines.curate.gazetteer import TWO_SYLLABLE_SURNAMES, Gazetteer
from pipelines.curate.name_search import NameSearch
from pipelines.curate.particles import has_final
from pipelines.curate.words import words

_HONORIFIC = "씨|님|군|양|대리|과장|차장|부장|팀장|사장|대표|교수|선생|박사|이사|상무|전무|실장|주임|사원|고객|환자|변호사|기자|감독|선수|작가|의원|원장|간호사|매니저|코치|주무관|사무관|서기관|국장|계장|반장|동장|구청장|판사|검사|경위|경감|순경|소장|이사장|위원|위원장|총무|회장|부회장|조합장|지점장|점장|세무사|회계사|법무사|노무사|공인중개사|교사|강사|조교|교장|교감|상담사|사회복지사|조사관|연구원|연구위원|책임|수석|선임|기사|목사|신부|스님|귀하|여사|차주"
_KIN = "씨|님|오빠|언니|누나|형|쌤|샘|할머니|할아버지|어린이|이모|삼촌|군|양"
_RELATIVE = "남편|아내|딸|아들|친구|동생|누나|오빠|언니|형|남친|여친|남자친구|여자친구|조카"
# Particles that follow persons far more often than things.
_STRONG_PARTICLE = "한테|한테서|에게|에게서|께|께서|이한테|이랑|랑"
_PARTICLE = "입니다|이에요|이야|이래요?|예요|이라고|라고|인데요?|이고|이며|에게서?|한테서?|께서?|이랑|랑|하고|와|과|이가|이는|이를|이도|이의|이한테|이와|가|이|은|는|을|를|의|야|아|도|처럼|보다|만|으로|로"
_GIVEN_PARTICLE = rf"(?:{_STRONG_PARTICLE}|이가|이는|이를|이도|이의|이와|이보다|이처럼|야|아|가|이|은|는|을|를|의|와|과|도|입니다|예요|이에요|이야)"
_WEAK_PARTICLE = rf"(?:{_GIVEN_PARTICLE}|으로|로|이고|이래요?|라고|이라고)(?![가-힣])"
_TITLED = rf"(?=\s?(?:{_HONORIFIC})(?:님|께|에게|한테|이|가|은|는|을|를|의|랑|도|[^가-힣]|$))"
_AFTER_NAME = rf"(?:{_TITLED}|(?=(?:{_PARTICLE})(?![가-힣])|[^가-힣]|$))"
_CUE = (
    "이름은|이름이|성함은|성함이|저는|제가|나는|보낸 사람:|받는 사람:|작성자:|수신인:|발신인:|담당자는|담당자:|담당자|환자|남편|아내|와이프|딸|아들|친구|동생|누나|오빠|언니|형|"
    "집주인|이웃|신랑|신부|본명은|필명은|명의는|명의자|참석|불참|참석자|동료|상사|팀장|선배|후배|남친|여친|남자친구|여자친구|조카|면접관"
)
# What stands before a name in forms, contracts and judgments; before the first ones nothing but a name.
_SURE_LABEL = r"(?:성\s{0,6}명|성함|예금주|수취인|수령인|임대인|임차인|매도인|매수인|원고|피고인?|피의자|채권자|채무자|위임인|수임인|양도인|양수인|피보험자|신청인|고소인|피고소인|청구인|피청구인|세대주|배우자|보호자|보증인|명의자|대표이사)"
_LABEL = (
    r"(?:성\s{0,6}명|이\s{0,4}름|성함|신청인|신청자|청구인|피청구인|임대인|임차인|양도인|양수인|대표이사|대표자|대표|이사장|원고|피고인?|피해자|피의자|참고인|증인|고소인|피고소인|고발인|진정인|민원인|위임인|수임인|대리인|법정대리인|위임받은 사람|"
    r"담당자|담당|작성자|보호자|환자명?|수취인|수령인|받는\s?(?:분|사람|이)|보내는\s?(?:분|사람|이)|보낸\s?(?:분|사람|이)|예금주|계좌주|명의인|명의자|계약자|피보험자|수익자|매도인|매수인|채권자|채무자|(?:연대)?보증인|입회인|참석자|출석자|불참자?|"
    r"위원장|위원|의장|간사|서기|기안자?|검토자?|결재자?|승인자?|협조자?|본인|배우자|세대주|소유자|차주|운전자|상속인|피상속인|유언자|신고인|신고자|학생명?|학부모|담임|강사명?|저자|지은이|글쓴이|주문자|구매자|예약자명?|고객명|회원명|직원명|사원명|"
    r"호주|친권자|후견인|인수자|인계자|인수인|인계인|확인자|서명인|책임자|조사관|면접자|지원자|응시자|수험자|근로자|사용자|사업주|갑|을|부|모|자녀|신랑|신부|고인|상주)"
)
_END_OF_NAME = rf"(?=\s{{0,4}}(?:[,.·:;/|()\[\]\"'”’<]|\n|$)|(?:{_PARTICLE})(?![가-힣])|\s?(?:{_HONORIFIC})|\s(?![가-힣])|\s[가-힣])"
_MARKED = r"(?=\s?\((?:인|서명|남|여|만\s?\d|\d|주민|생년|이하|男|女|前|현|전|대표|담당|서명 또는 인)|\s{1,4}(?:서명|\(서명\)|귀하|드림|올림|배상|拜上)(?![가-힣]))"
_JOINT = regex.compile(r"(?:\s?(?:씨|님|군|양))?(?:\s?[,·/、]\s?|\s?(?:와|과|이랑|랑|하고|및)\s|\s및\s)")
_PARTICLES = frozenset("은는이가을를의와과도만로")
_NOT_NAMES = words("hangul_not_names")
_NOT_ENDING = frozenset("하되있없않같된될할함했했였및등것수때")  # 이동하, 유지되: verbs cut short


class HangulNames:
    """The rules for names in Hangul; built once per process."""

    def __init__(self, names: Gazetteer) -> None:
        self._names = names
        self._patterns = _patterns(names)
        self._label = regex.compile(rf"(?<![가-힣]){_LABEL}")
        single = "".join(surname for surname in names.surnames if len(surname) == 1)
        surname = f"(?:{'|'.join(TWO_SYLLABLE_SURNAMES)}|[{single}])"
        self._next = regex.compile(rf"({surname}[가-힣]{{1,2}})(?=(?:{_PARTICLE}|씨|님|[^가-힣])|\s|$)")

    def find(self, search: NameSearch, places: frozenset[str]) -> list[tuple[int, int]]:
        """The longest name that begins at each place. Many patterns find much the same words: each is judged once."""
        ends: dict[int, int] = {}
        judged: dict[tuple[str, str], str | None] = {}
        labelled = self._label.search(search.text) is not None
        for pattern, check in self._patterns:
            if _LABEL in pattern.pattern and not labelled:
                continue
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
        self._add_lists(search.text, ends, places)
        return list(ends.items())

    def _add_lists(self, text: str, ends: dict[int, int], places: frozenset[str]) -> None:
        """What stands behind a name and a comma or `와`, if it can be one: `곽도경, 노하람 및 백승엽`."""
        waiting = list(ends.items())
        while waiting:
            start, end = waiting.pop()
            joint = _JOINT.match(text, end)
            following = self._next.match(text, joint.end()) if joint and end - start >= 3 else None
            if following is None or following.start(1) in ends:
                continue
            name = self._judge(following[1], "loose", places)
            if name is not None and len(name) >= 3:
                ends[following.start(1)] = following.start(1) + len(name)
                waiting.append((following.start(1), following.start(1) + len(name)))

    def _judge(self, word: str, check: str, places: frozenset[str]) -> str | None:
        """The name that a word is, without its particle; None if it is none."""
        name = self._without_particle(word.replace(" ", "")) if " " not in word else word
        plain = name.replace(" ", "")
        if plain in places or not self._looks_like_a_name(plain, check):
            return None
        return None if self._is_a_noun(plain, check) else name

    def _is_a_noun(self, name: str, check: str) -> bool:
        """`소재지`, or `문서의`: a noun of the list, alone, with its particle, or as the beginning of a longer one."""
        if name in _NOT_NAMES:
            return True
        if check in ("none", "given", "given or noun"):
            return False
        if (
            name[:-1] in _NOT_NAMES
            and name[-1] in "의은는이가을를도와과로만에서인적화성별자용제권비료금법서장실부원안님들"
        ):
            return not self._is_given(name[1:])
        return check == "strict" and name[:2] in _NOT_NAMES and not self._is_given(name[1:])

    def _is_given(self, given: str) -> bool:
        return given in self._names.hangul_given or given in self._names.hangul_given_also_words

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
        """`none` asks nothing; `given` and `listed` want a listed given name, alone or behind a surname; `label`, `loose` and
        `strict` go by the syllables of the given name: any, those of names, and without the usual endings of nouns."""
        names = self._names
        given = name[2:] if name[:2] in TWO_SYLLABLE_SURNAMES and len(name) > 2 else name[1:]
        if check == "none" or check.startswith("given"):
            return check == "none" or name in names.hangul_given or ("noun" in check and self._is_given(name))
        if not given:
            return False
        if check == "label":
            return given[-1] not in _NOT_ENDING and given not in _PARTICLES
        if self._is_given(given) and check in ("loose", "listed or noun"):
            return True
        if given in _NOT_NAMES:
            return False
        if len(given) == 1:
            return check == "loose" and (given in names.hangul_first or given in names.hangul_last)
        if check == "loose":
            return given[0] in names.hangul_first and given[-1] in names.hangul_last
        if given[-1] in _NOT_ENDING:
            return False
        usual = check == "strict" and (
            (given[-1] not in _NOUN_ENDINGS and names.is_usual_hangul(given))
            or (given[-1] in _ENDS_OF_NAMES and given[0] in names.hangul_first)
        )
        return given in names.hangul_given or usual


_ENDS_OF_NAMES = frozenset("민준현훈혁석섭엽욱균철윤은연영희숙옥란람린빈솔율별율찬환혜")
_NOUN_ENDINGS = frozenset("자성실원인상형수지선주도재미일기비장식정물제사용화력전과조단구간부신대고가서")


def _patterns(names: Gazetteer) -> list[tuple[regex.Pattern[str], str]]:
    """(pattern, check): wide patterns, whose first group `_looks_like_a_name` then checks against the lists.

    Alternations of hundreds of names would be tried one by one at every position.
    """
    single = "".join(s for s in names.surnames if len(s) == 1)
    double = "|".join(TWO_SYLLABLE_SURNAMES)
    surname = f"(?:{double}|[{single}])"
    common = (
        f"(?:{double}|[" + "".join(s for s in names.surnames if len(s) == 1 and s not in names.rare_surnames) + "])"
    )
    head = "(?<![가-힣])"
    rows = [
        (rf"{head}({common}[가-힣]{{2}}){_AFTER_NAME}", "listed"),
        (rf"{head}({common}[가-힣]{{2}})(?=\s?(?:{_HONORIFIC})|(?:{_STRONG_PARTICLE})(?![가-힣]))", "listed or noun"),
        (
            rf"{head}({surname}[가-힣]{{2}})(?=\s?(?:씨|대리|과장|차장|부장|주임)(?:님|께|에게|한테|이|가|은|는|을|를|의|랑|도|[^가-힣]|$))",
            "none",
        ),
        (rf"{head}({surname}[가-힣]{{1,2}}){_TITLED}", "loose"),
        (rf"{head}({surname}[가-힣]{{2}})(?=\s님)", "label"),
        (rf"{head}((?:{double})[가-힣]{{1,2}}?)(?={_WEAK_PARTICLE}|[,.)\s]|$)", "label"),
        (rf"(?:{_CUE})\s?({surname}[가-힣]{{2}}){_AFTER_NAME}", "loose"),
        (rf"{head}{_LABEL}(?:명)?\s{{0,3}}[:：|]\s{{0,4}}({surname}[가-힣]{{1,2}}){_END_OF_NAME}", "label"),
        (rf"{head}{_LABEL}(?:명)?\s{{0,3}}[:：|]?\s{{0,4}}({surname}\s[가-힣]\s[가-힣])(?![가-힣])", "label"),
        (rf"{head}{_LABEL}\s{{1,6}}({surname}[가-힣]{{2}}){_MARKED}", "label"),
        (
            rf"{head}{_SURE_LABEL}\s{{1,6}}({surname}[가-힣]{{1,2}})(?=\s{{0,4}}(?:[,./|()\[\]]|\n|$)|(?:은|는|이|가|의|을|를|와|과|에게)(?![가-힣]))",
            "label",
        ),
        (rf"{head}{_LABEL}(?:은|는|이|가)?\s{{1,6}}({surname}[가-힣]{{1,2}}){_END_OF_NAME}", "loose"),
        (rf"{head}({surname}[가-힣]{{1,2}}){_MARKED}", "loose"),
        (rf"(?:이름은|성함은|저는|제가)\s?({surname}[가-힣])(?=입니다|이라고|라고|이에요|예요|인데)", "none"),
        (r"(?:나를|저를|절|날)\s([가-힣]{2,4}?)(?=이?라고\s(?:불|부))", "none"),
        (rf"{head}([가-힣]{{2}})(?=\s?(?:{_KIN})|{_GIVEN_PARTICLE}(?![가-힣])|[,.!?:;)\n]|$)", "given"),
        (rf"(?:{_RELATIVE})\s([가-힣]{{2}})(?=이|가|는|은|랑|한테|의|를|야|아|[^가-힣]|$)", "given or noun"),
        (rf"{head}({surname}[가-힣]{{2}})(?=\s?(?:드림|올림|배상))", "loose"),
        (rf"{head}({surname}[가-힣]{{2}})(?=\s?:\s|\s(?:{_KIN})(?![가-힣]{{2}}))", "loose"),
        (rf"{head}({common}[가-힣]{{2}})(?=(?:씨|님|{_STRONG_PARTICLE})(?![가-힣]))", "loose"),
        (rf"{head}({common}[가-힣]{{2}})(?={_WEAK_PARTICLE}|,\s|\.\s|\.$)", "strict"),
    ]
    return [(regex.compile(pattern, regex.MULTILINE), check) for pattern, check in rows]
