"""Korean: how it asks, states, denies, agrees and refuses.

Particles and endings pile up on a word (`타르신은`, `타르신입니다`), so texts are compared by characters and words by stems.
"""

import re

from pipelines.languages.language import Language, patterns

_EMPTY_WORDS = frozenset(
    [
        "네",
        "예",
        "응",
        "맞아요",
        "맞습니다",
        "맞아",
        "맞네요",
        "그래요",
        "그렇습니다",
        "그렇죠",
        "물론이죠",
        "물론입니다",
        "정말",
        "좋아요",
        "저는",
        "제가",
        "나는",
        "내가",
        "제",
        "생각에는",
        "생각해요",
        "생각합니다",
        "알아요",
        "압니다",
        "어디",
        "무엇",
        "뭐",
        "누구",
        "언제",
        "어떤",
        "무슨",
        "몇",
        "말씀하신",
        "대로",
        "말씀대로",
        "죄송합니다",
        "죄송해요",
        "그",
        "이",
        "저",
    ]
)
_NEGATIONS = frozenset(["아니", "아닙니다", "아니에요", "아니야", "않", "안", "못", "없"])
_GREETINGS = frozenset(
    [
        "안녕",
        "안녕하세요",
        "안녕하십니까",
        "반가워요",
        "반갑습니다",
        "반가워",
        "만나서",
        "좋은",
        "아침",
        "아침입니다",
        "저녁",
        "하루",
        "처음",
        "뵙겠습니다",
        "여보세요",
        "하이",
        "헬로",
    ]
)
_ENDINGS = re.compile(
    r"(?<=[가-힣A-Za-z0-9])(?:이?라고|입니다|인가요?|인지|이에요|예요|에요|이야|야|이죠|죠|지요|네요|군요|이다|다|랍니다|이랍니다|인데|이고|"
    r"에서는|에서|에게|으로|까지|부터|은|는|이|가|을|를|의|에|로|와|과|도|만|요)$"
)
_DICTATED_AFTER = (
    r"(?:따라\s*(?:해|하|말)|그대로\s*(?:말|반복|출력|써|적|답|따라)|반복\s*(?:해|하)|복창|"
    r"(?:이렇게|다음과 같이|다음을|다음\s*문장을)[^:：]{0,20}(?:답|말|출력|써|적|대답))[^:：\n]{0,20}[:：]\s*(?P<script>.+)"
)
# anchored: from every place of a long line a lazy prefix would take quadratic time
_DICTATED_BEFORE = (
    r"(?m)^(?P<script>[^\n]+?)[\"'”’」』]? ?(?:이?라고만?|이?라고 만|을|를)? ?(?:그대로 ?)?"
    r"(?<=라고|고만|대로) ?(?:꼭 ?|항상 ?|만 ?)?(?:말|대답|답|써|적어|출력|반복|따라|외쳐)"
)
_DENIED_AFTER = (
    r"[\"'*)]*(?:"
    r"(?:이|가|은|는|도)?\s?(?:아니(?!면|겠)|아닙(?!니까)|아닌(?!가)|아녜|말고|대신|틀[렸린립]|맞지\s?않)|"
    r"(?:은|는|이|가)\s[^.!?,]{1,25}(?:이|가)\s?(?:아니(?!면|겠)|아닙(?!니까)|아닌(?!가))|"
    r"(?:이)?라(?:는|고)[^.!?]{0,20}?(?:아니(?!면|겠)|아닙(?!니까)|틀[렸립]|않)"
    r")"
)

KOREAN = Language(
    code="ko",
    letters="가-힣",
    script="Hang",
    script_name="HANGUL",
    units="characters",
    particles_follow=True,
    endings=_ENDINGS,
    least_words=2,  # particles and endings make longer words, and no capital shows a name
    head=2,
    empty_words=_EMPTY_WORDS,
    negations=_NEGATIONS,
    greetings=_GREETINGS,
    claims=patterns(r"(?:다|요|야|죠|지|음|임)[.!。~\s]*$"),
    questions=patterns(
        r"(?:주세요|줘요?|주십시오|해라|하세요|봐요?|까요?|나요|는가요?|은가요?|인가요?|어디(?:예요|에요|야|죠|인지)|뭐(?:예요|에요|야|죠|지)|무엇(?:이죠|인지)|누구(?:예요|야|죠))[.!?？~\s]*$"
    ),
    says_no="아니요?|아뇨",
    disagrees="아니|아뇨|틀",
    dictations=patterns(_DICTATED_AFTER, _DICTATED_BEFORE),
    options=r"또는|아니면|중(?:에서|에)?\s",
    denied_after=patterns(_DENIED_AFTER),
    denials=patterns(
        r"^\W*(?:(?:네|예|음|죄송[가-힣]*)\W+)?(?:아니(?:요|오|야|에요|예요)?(?![가-힣])|아뇨|아닙니다|아녜요|틀[렸립]|그렇지\s?않|"
        r"(?:그건|그것은|그게|사실이|사실은|말씀은)\s?(?:사실이\s?)?(?:아니(?!면)|아닙|틀[렸립]|맞지\s?않))"
    ),
    affirmations=patterns(
        r"^\W*(?:네|예|넵|응)\W*(?:$|맞|그렇|그래|옳)",
        r"^\W*(?:그렇습니다|그래요|그럼요|물론입니다)(?![가-힣])|(?:맞습니다|맞아요|맞네요|옳습니다|동의합니다|동의해요)(?!\s?만)",
    ),
    refusals=patterns(
        r"(?:도와|도움|알려|가르쳐|답|대답|답변|말씀|제공|안내|설명|공유|작성|지원|요청)[가-힣]{0,4}\s?(?:들어\s?|해\s?)?(?:드릴|드리|줄|할|될)"
        r"\s?수(?:가|는)?\s?없(?:습니다|어요|네요|지만|음|다(?![가-힣])|을 것 같)",
        r"(?:도와|도움|알려|답|대답|답변|말씀|제공|안내|공유|작성)[가-힣]{0,4}\s?(?:해\s?)?(?:드리|주|하)기(?:가|는)?\s?(?:어렵|어려|곤란|힘들)",
        r"죄송[가-힣]*[,.]?\s?(?:그건|그것은|그 요청은|그런 요청은|이 요청은)?\s?(?:곤란|안 됩|안 돼|어렵습|어려워요|못 )",
        r"^\W*(?:정말 )?죄송(?:합니다|해요)\W*$",
    ),
    asks_for_json=patterns(r"json\s*(?:으로|로|을|를|형식)"),
    asks_for_python=patterns(r"(?:파이썬|python)\s*(?:으로|로|함수|코드)"),
)
