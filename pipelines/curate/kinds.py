"""What is called like a person and is none: works, bands, places, products, measures, by the words around them.

    Who directed Annie Hall?      the film Emma      Jolene (song)      Mount Rainier      the Smiths
    When was Jane Eyre published?      What is Jenkins?      at max speed      Lake Victoria      Franz Ferdinand is a band

What is a thing in one place of a conversation is one everywhere in it, unless a speaker goes by that name. The patterns
are English, and for Korean, German, French and Spanish the words that stand right beside a name.
"""

import re
from collections.abc import Mapping, Sequence
from itertools import islice

from pipelines.curate.detect import Span
from pipelines.curate.public_names import parts_of

_WORK = (
    "film|movie|song|album|band|group|duo|trio|orchestra|book|novel|trilogy|saga|musical|opera|ballet|symphony|painting|sculpture|"
    "poem|tv series|series|sitcom|soundtrack|video ?game|game|comic|manga|anime|magazine|newspaper|podcast|documentary|franchise|"
    "record label|ballad"
)
_PLACE = (
    "volcano|mountains?|peak|lake|river|islands?|bay|cape|desert|valley|canyon|glacier|waterfalls?|falls|reef|sea|strait|city|town|"
    "village|county|country|state|province|capital|district|borough|suburb|port|airport|station|street|avenue|road|bridge|tower|"
    "castle|palace|cathedral|stadium|arena|museum|gallery|theat(?:re|er)|hotel|restaurant|park|university|college|hospital|library|"
    "observatory|crater|nebula|galaxy|asteroid|comet|planet|moon"
)
_THING = (
    "company|brand|firm|corporation|bank|airline|car|truck|motorcycle|guitar|piano|watch|phone|laptop|tablet|printer|chatbot|app|"
    "software|library|framework|programming language|language|plugin|server|protocol|algorithm|drug|medicine|vaccine|wine|beer|"
    "whisk(?:e)?y|cheese|sauce|cocktail|perfume|ship|submarine|spacecraft|satellite|rocket|telescope|hurricane|typhoon|award|prize|"
    "cup|medal|trophy|festival|foundation|league|virus|disease|syndrome|breed|species|unit"
)
_KINDS = f"(?:{_WORK}|{_PLACE}|{_THING})"
_BEHIND = (
    r"(?:effect|theorem|law|equation|constant|syndrome|disease|scale|engine|motors?|records|studios|pictures|entertainment|inc|ltd|"
    r"llc|corp|gmbh|plc|& (?:co|sons|company)|holdings|foundation|institute|soundtrack|lyrics|trailer|bags?|perfume|jeans|whisk(?:e)?y|bourbon|"
    r"rice|sauce|shoes|sneakers|sunglasses|cosmetics|lipstick|chocolate|motorcycles?|boutique|outlet)\b"
)
_MADE = (
    "wrote|directed|composed|painted|sang|sings|recorded|produced|published|starred in|stars in|acted in|plays in|played in|"
    "appears in|appeared in|founded|owns|built|discovered|invented|manufactures|created|narrated|illustrated|choreographed|performs"
)
_DONE = (
    "released|published|founded|formed|built|launched|filmed|shot|recorded|established|premiered?|composed|painted|written|erected|"
    "opened|discontinued|cancell?ed|set|invented|introduced|manufactured|erupt|come out|start airing|air|take place|break up|disband"
)
_PARTS = (
    "lyrics|cast|plot|ending|author|director|composer|soundtrack|genre|sequel|chorus|capital|population|elevation|summit|slopes|"
    "chapters?|episodes?|seasons?|drummer|lead singer|bassist|guitarist|frontman|members|characters"
)
_OPEN, _SHUT = "[\"“'‘*_(]?", "[\"”'’*_)]?"
_ENDS = rf"{_SHUT}(?:[?.!,;:]|$|\s(?:is|was|are|were|by|from|in|on|of|and|or|with|released|directed|set|based|starring|about|that)\b)"
_INSIDE = r"(?:(?!(?:of|in|at|from|with|who|for|on|to|and|but|by|the|my|friend|member|fan)\b)[\w'’-]+\s){0,4}?"
# (what stands before, what stands behind): both must be there
_SIGNS: tuple[tuple[str, str], ...] = (
    (rf"\b(?:the|a|an|this|that|their|his|her|my favou?rite)\s{_INSIDE}{_KINDS}\s{_OPEN}$", rf"^{_ENDS}"),
    (rf"\b{_KINDS}(?:'s name is|\s(?:called|named|titled))\s{_OPEN}$", ""),
    (rf"\b(?:who|what|which \w+)(?:\s(?:first|originally|else))?\s(?:{_MADE})\s(?:the\s)?{_OPEN}$", rf"^{_ENDS}"),
    (
        rf"\b(?:when|what year|where|why|how)\s(?:was|were|did|does|is|will)\s(?:the\s)?{_OPEN}$",
        rf"^{_SHUT}\s(?:\w+\s)?(?:{_DONE}|located)\b",
    ),
    (rf"\b(?:{_PARTS})\s(?:of|to|from|in|for)\s(?:the\s)?{_OPEN}$", ""),
    (
        rf"\bwhat(?:\s(?:is|are)|['’]s)\s(?:an?\s|the\s)?{_OPEN}$",
        rf"^{_SHUT}(?:\?|\s(?:about|made of|used for|known for)\b|\s[a-z]{{3,}}\?)",
    ),
    (r"\bhow\s(?:high|deep|wide|large|big|hot)\s(?:is|are|was)\s(?:the\s)?$", ""),
    (
        r"\b(?:mount|mt\.?|lake|river|cape|port|fort|loch|san|santa|santo|são|saint|sainte|sankt|monte|mont|piz|pico|cerro|sierra|lago|isla|río|rio|isle of|gulf of|university of|city of|battle of|treaty of)\s$",
        "",
    ),
    ("", r"^\sand the (?-i:[A-Z])\w+ of\b"),  # Harry Potter and the Goblet of Fire
    ("", rf"^{_SHUT}(?:\s(?:and|or)\s[\w’']{{1,20}})?\s(?:are|were)\s(?:\w+\s){{0,2}}{_KINDS}s\b"),
    (r"\bthe\s$", rf"^(?:{_ENDS}|\s[a-z])"),
    (rf"\b(?:watch(?:ed|ing)?|listen(?:ed|ing)? to|install(?:ed|ing)?|stream(?:ed|ing)?)\s{_OPEN}$", rf"^{_ENDS}"),
    ("", rf"^{_SHUT}\s(?:{_KINDS}(?=[?.!,;:]|$|\s(?:is|was|by|in|from|of|and)\b)|{_BEHIND})"),
    ("", rf"^{_SHUT}\s\((?:[^)]{{0,20}}\s)?(?:{_KINDS}|\d{{4}})\)"),
    (
        "",
        rf"^{_SHUT}(?:\s(?:is|was|are|were)|,)\s(?:an?|the|one of the)\s{_INSIDE}{_KINDS}s?(?=[?.!,;:]|$|\s(?:in|by|from|of|on|and|about|that|which|released|directed|founded|formed|located|set|based|starring|published)\b)",
    ),
    (
        "",
        r"^['’]s (?:lyrics|soundtrack|population|summit|eruption|crater|capital|discography|line-?up|headquarters|top speed)",
    ),
    (
        "",
        r"^\s(?:last |first |finally )?(?:erupted|erupts|premiered|airs|aired|grossed|is (?:located|situated)|was (?:released|published|founded|formed|recorded|filmed|adapted|discontinued)|topped the)\b",
    ),
    (rf"\bis\s{_OPEN}$", rf"^{_SHUT}\s(?:an?|the)\s{_INSIDE}{_KINDS}\?"),
)
_COMPILED = tuple((re.compile(before, re.I), re.compile(behind, re.I)) for before, behind in _SIGNS)
_AROUND = (  # languages in which the word for the kind stands right beside the name
    re.compile(
        r"(?:영화|노래|앨범|밴드|그룹|소설|책|드라마|뮤지컬|오페라|게임|만화|화산|산|강|호수|섬|도시|회사|브랜드)\s[\"'“‘《『〈「]?$"
    ),
    re.compile(
        r"\b(?:(?:de[rm]|das|die|den|vom|im|am)\s(?:film|roman|buch|lied|song|album|band|vulkan|berg|see|fluss|stadt|firma|serie|spiel|oper)|"
        r"(?:le|la|du|l['’])\s?(?:film|roman|livre|chanson|album|groupe|volcan|mont|lac|ville|série|opéra)|"
        r"(?:el|la|del|de la)\s(?:película|novela|libro|canción|álbum|banda|volcán|monte|lago|ciudad|serie|ópera))\s[\"'“‘«„]?$",
        re.IGNORECASE,
    ),
    re.compile(r"[《『〈「«„]$"),
)
# `is a novel`, `ist ein Märchen`, `est un roman`, `es una película`, `è un romanzo`, `é um filme`, `to poemat`
_IS_ABROAD = re.compile(
    r"^[\"”’»“]?\s(?:(?:ist|war)\s(?:einer?|eine[sn]?|der|die|das)\s(?:[\w-]+\s){0,2}(?:märchen|film|roman|band|buch|lied|song|album|serie|oper|musical|berg|vulkan|fluss|see|stadt|insel|ort|firma|unternehmen|marke|spiel|sprache|gedicht|gemälde)|"
    r"(?:est|était)\s(?:une?|le|la)\s(?:[\w-]+\s){0,2}(?:film|roman|livre|chanson|album|groupe|série|opéra|montagne|volcan|lac|ville|île|fleuve|rivière|entreprise|marque|jeu|station|poème|tableau|pièce)|"
    r"(?:es|fue|era)\s(?:una?|el|la)\s(?:[\w-]+\s){0,2}(?:película|novela|libro|canción|álbum|banda|grupo|serie|ópera|montaña|volcán|lago|ciudad|isla|río|empresa|marca|juego|poema|cuadro)|"
    r"(?:è|era)\s(?:una?['’]?|il|la)\s(?:[\w-]+\s){0,2}(?:film|romanzo|libro|canzone|album|gruppo|serie|opera|montagna|vulcano|lago|città|isola|fiume|azienda|marca|gioco|poema|quadro)|"
    r"(?:é|foi)\s(?:uma?|o|a)\s(?:[\w-]+\s){0,2}(?:romance|filme|livro|canção|álbum|banda|série|ópera|montanha|vulcão|lago|cidade|ilha|rio|empresa|marca|jogo|poema)|"
    r"(?:to|jest|był[ao]?)\s(?:[\w-]+\s){0,2}(?:poemat|film|powieść|książka|piosenka|album|zespół|serial|opera|góra|wulkan|jezioro|miasto|wyspa|rzeka|firma|marka|gra))\b",
    re.I,
)
_AROUND_BEHIND = re.compile(
    r"^[》』〉」»“\"'”’]?(?:이라는|라는|이란)?\s?(?:영화|노래|앨범|밴드|소설|책|드라마|뮤지컬|게임|화산|강|호수|섬|도시|산맥|회사|브랜드)(?![가-힣]{2})|^[》』〉」»]"
)
_MEASURES = frozenset(
    [
        "max",
        "min",
        "art",
        "mark",
        "pat",
        "gene",
        "ray",
        "watt",
        "joule",
        "kelvin",
        "newton",
        "tesla",
        "hertz",
        "celsius",
        "fahrenheit",
        "pascal",
        "ampere",
        "volt",
        "henry",
        "weber",
        "gray",
        "curie",
        "bill",
        "will",
        "grant",
        "rob",
        "sue",
        "drew",
        "faith",
        "hope",
        "joy",
        "grace",
        "dawn",
        "rose",
        "olive",
        "ginger",
    ]  # words that are names too
)
_NAMES_ONE = re.compile(
    r"\b(?:name(?: is|['’]s)?|called|call|dear|hi|hello|hey|thanks|friend|boss|brother|sister|mr|mrs|ms|dr)\W{1,3}$",
    re.I,
)


_MOST_PEOPLE = 500


def without_things(
    texts: Mapping[str, str], found: Mapping[str, Sequence[Span]], own: frozenset[str]
) -> dict[str, list[Span]]:
    """The findings without persons that are none; `own` are the parts of the names that speakers go by, case folded.

    Of a text with more than 500 names only the first are looked at: it is a list, and who else is in it stays a person.
    """
    things: set[str] = set()
    plain: dict[str, list[Span]] = {}
    for name, spans in found.items():
        plain[name] = [span for span in spans if not _is_word(texts[name], span)]
        people = (span for span in plain[name] if span.entity == "PERSON" and not parts_of(span.value) & own)
        things |= {_folded(span.value) for span in islice(people, _MOST_PEOPLE) if _is_thing(texts[name], span)}
    if not things:
        return plain
    return {
        name: [span for span in spans if span.entity != "PERSON" or _folded(span.value) not in things]
        for name, spans in plain.items()
    }


def _is_word(text: str, span: Span) -> bool:
    """Whether a name in small letters is a common word here: `max`, but not behind `my name is`."""
    word = text[span.start : span.end]
    return (
        span.entity == "PERSON"
        and word in _MEASURES
        and not _NAMES_ONE.search(text[max(0, span.start - 30) : span.start])
    )


def _is_thing(text: str, span: Span) -> bool:
    before = text[max(0, span.start - 120) : span.start].rpartition("\n")[2]
    behind = text[span.end : span.end + 90].partition("\n")[0]
    if any(first.search(before) and second.search(behind) for first, second in _COMPILED):
        return True
    if any(pattern.search(before) for pattern in _AROUND):
        return True
    return _AROUND_BEHIND.match(behind) is not None or _IS_ABROAD.match(behind) is not None


def _folded(value: str) -> str:
    return value.casefold()
