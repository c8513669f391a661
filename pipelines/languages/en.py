"""English: how it asks, states, denies, agrees and refuses."""

from pipelines.languages.language import Language, Naming, patterns

_EMPTY_WORDS = frozenset(
    [
        "a",
        "an",
        "the",
        "this",
        "that",
        "these",
        "those",
        "it",
        "its",
        "they",
        "them",
        "their",
        "he",
        "she",
        "his",
        "her",
        "you",
        "your",
        "i",
        "me",
        "my",
        "we",
        "our",
        "us",
        "is",
        "are",
        "was",
        "were",
        "am",
        "be",
        "been",
        "being",
        "do",
        "does",
        "did",
        "has",
        "have",
        "had",
        "will",
        "would",
        "can",
        "could",
        "should",
        "may",
        "might",
        "of",
        "in",
        "on",
        "at",
        "to",
        "for",
        "from",
        "by",
        "with",
        "as",
        "and",
        "or",
        "but",
        "so",
        "then",
        "than",
        "if",
        "about",
        "into",
        "there",
        "here",
        "what",
        "which",
        "who",
        "whom",
        "whose",
        "where",
        "when",
        "why",
        "how",
        "yes",
        "yeah",
        "yep",
        "right",
        "correct",
        "indeed",
        "exactly",
        "absolutely",
        "definitely",
        "certainly",
        "sure",
        "true",
        "agree",
        "agreed",
        "thanks",
        "thank",
        "please",
        "ok",
        "okay",
        "well",
        "course",
        "think",
        "believe",
        "guess",
        "know",
        "told",
        "tell",
        "heard",
        "said",
        "say",
        "says",
        "s",
        "m",
        "re",
        "ve",
        "ll",
        "d",
        "t",
        "also",
        "very",
        "really",
        "just",
        "oh",
        "ah",
        "sorry",
        "mistake",
        "mistaken",
        "apologies",
        "apologize",
    ]
)
_NEGATIONS = frozenset(
    [
        "not",
        "no",
        "never",
        "nor",
        "neither",
        "cannot",
        "cant",
        "isnt",
        "arent",
        "wasnt",
        "werent",
        "dont",
        "doesnt",
        "didnt",
        "wont",
    ]
)
_GREETINGS = frozenset(
    [
        "hi",
        "hello",
        "hey",
        "dear",
        "good",
        "morning",
        "afternoon",
        "evening",
        "night",
        "day",
        "bye",
        "goodbye",
        "welcome",
        "nice",
        "meet",
        "greetings",
        "there",
        "how",
    ]
)

# "say X": whatever follows is the script. "answer with: X": only a colon, a quote or "with" makes it one.
_FILLER = r"(?:exactly|only|just|simply|back|out|precisely|verbatim|always|the (?:following|words?|phrase|sentence|text|name)|this|after me|to me)"
_SAYS = rf"\b(?:say|repeat|echo|recite|parrot)\b(?:[\s,:]*{_FILLER}\b)*[\s,:]*(?P<script>.+)"
_ANSWERS = (
    rf"\b(?:answer|reply|respond|write|type|print|output|return|state|begin|start|end)\b(?:\s+{_FILLER}\b)*\s*"
    rf"(?:(?:with|by saying)\b(?:[\s,]*{_FILLER}\b)*[\s:]*|{_FILLER}\s*:?\s*|:\s*|(?=[\"“'‘]))(?P<script>.+)"
)
_UNDICTATED = r"\b(?:don'?t|do not|never|how (?:do|can|would|should) (?:you|i|we)|did (?:you|he|she|they|i))\s*$"

# Up to eight words between the denial and the name, and one aside in commas; another comma or "but" ends its reach.
_DENIED_BEFORE = (
    r"(?:\bnot\b(?! only| just)|n't\b|\bcannot\b|\bnever\b|\bnor\b|\brather than\b|\binstead of\b)"
    r"(?:,[^,.;:!?]{1,30},)?(?:\s+(?!but\b)[\w'-]+){0,8}[\s\"'*(]*$"
)
_DENIED_AFTER = r"[\"'*)]*\s+(?:is|was)(?:\s+\w+ly)?(?:\s+not\b(?! only| just)|n't\b|\s+(?:wrong|incorrect|false)\b)"
_OFFERS = r"(?!,? I(?:'ll|'d| can| could| will| would)\b)"
_CANNOT_DO = r"(?:can't|cannot|can not|won't|will not|couldn't|could not)"
_HEDGED = r"\s+(?:(?:be able to|really|currently|directly|legally|actually|in good conscience)\s+)*"
_CANNOT = rf"\b(?:I|we)(?: {_CANNOT_DO}|(?: am|'m| are|'re) (?:unable|not able) to){_HEDGED}"
_TO_HELP = (
    r"(?:help(?! but| myself| \w+ing\b)|assist|answer|provide|share|give you|discuss|do th(?:at|is)|comply|respond|"
    r"tell you(?! how)|offer|disclose|reveal|create|write|generate|engage|talk about|support (?:that|this)|"
    r"ful?fill? (?:this|that|your|such|these|those)|"
    r"(?:ful?fill?|complete|process|honou?r|accommodate|carry out) (?:this|that|your|the|such an?|these|those) (?:\w+ )?requests?)\b"
)

_NAMING = Naming(
    introduces=(
        r"\b(?:my (?:full |first |last )?name(?: is|'s|:)|name['’]?s|i am called|(?:call|called|named) me|i['’]?m|i am|this is|"
        r"it['’]?s me,|yours(?: truly| sincerely)?,|signed,?|on behalf of)\s"
    ),
    hails=r"\b(?:hi|hello|hey|dear|good (?:morning|afternoon|evening|day)|welcome(?: back)?|greetings|thanks|thank you|sorry|sure|to),?\s",
    closes=(
        r"\b(?:(?:best|kind|warm|warmest|many)?\s?regards|best wishes|all the best|best|sincerely|yours(?: truly| sincerely| faithfully)?|"
        r"respectfully(?: yours)?|cheers|thanks(?: again| so much| in advance)?|thank you|love|take care|cordially|signed)\b"
    ),
    concerns=r"\b(?:about|on|of|regarding|concerning)\s",
    informs=(
        r"(?:please\s)?(?:tell|give|describe|explain|summari[sz]e|compare|list|name|introduce|identify|define|discuss|state|outline|"
        r"provide|write (?:a |an |the )?(?:\w+\s){0,3}(?:about|on|of|regarding)|can you (?:tell|explain|describe|give|name|list))\b"
    ),
    acts=(
        r"(?:can|could|would|will|do) you (?:please |kindly |also |maybe |just )*(?!tell|explain|describe|name|list|say|know|give me"
        r"|think|remember|identify|recall)\w+|(?:would|do) you mind"
    ),
    advises=(
        r"\b(?:should|shall|must|ought) (?:i|we)\b|\bhelp me\b|"
        r"\bhow (?:to|do i|do we|can i|can we) (?:tell|say|ask|reply|respond|answer|deal|handle|break|convince|approach|talk|explain)\b"
    ),
    asks_who=r"\b(?:who|whom|whose|who['’]?s)\b|\b(?:what|which)\b.{0,60}\b(?:names?|called|person|people|man|woman|player|author|singer|actor|actress|president|artist|band|director|scientist|king|queen|leader)\b|\bnames? of\b",
    refers_back=r"\b(?:he|she|him|her|his|hers|they|them|their|(?:that|this|the same) (?:person|man|woman|guy|one|author|artist|actor|singer|player|president|band))\b",
    invents=(
        r"\b(?:write|draft|compose|create|make up|invent|tell|generate|rewrite|improve|continue|prepare)\b.{0,60}\b(?:e-?mails?|letters?|"
        r"message|reply|invitation|stor(?:y|ies)|tale|poem|dialogue|screenplay|scene|characters?|fairy tale|note|cover letter|names for)\b|\b(?:role-?play|imagine|pretend)\b"
    ),
)

ENGLISH = Language(
    code="en",
    letters="A-Za-z",
    script="Latn",
    script_name="LATIN",
    empty_words=_EMPTY_WORDS,
    negations=_NEGATIONS,
    greetings=_GREETINGS,
    claims=patterns(
        r"\b(?:is|are|was|were|am|equals?|means?|has|have|had|lives?|comes?|called|named|became|won|makes?|causes?|cures?)\b|\w['’]s\b"
    ),
    questions=patterns(
        r"^(?:what|which|who|whom|whose|where|when|why|how|is|are|was|were|do|does|did|can|could|will|would|should|has|have)\b"
    ),
    says_no="no|nope",
    disagrees=r"(?:no|nope|not|wrong|incorrect)\b",
    dictations=patterns(_SAYS, _ANSWERS),
    undictated=patterns(_UNDICTATED),
    options=r"\b(?:or|one of|between)\b",
    choices=r"\bor\b|\bsay\b",
    denied_before=patterns(_DENIED_BEFORE),
    denied_after=patterns(_DENIED_AFTER),
    denials=patterns(
        r"^\W*(?:(?:well|oh|hm+|actually|unfortunately|sorry|I'm sorry|I am sorry|I'm afraid)\b(?:,? but\b)?\W+)*"
        r"(?:no\b(?! doubt| problem| worries| question)|nope\b|(?:incorrect|wrong|false)\b(?=\s*[.!,:;]|$)|"
        r"not (?:quite|exactly|really|correct|right|true|so|at all|necessarily)\b)",
        r"\b(?:you|your friend|that|this)(?:'re|'s| are| is) (?:\w+ly |quite )?(?:wrong|incorrect|mistaken|false)\b",
        r"\b(?:you|your friend|that|this)(?: are|'re| is|'s)(?: not|n't) (?:\w+ly |quite )?(?:right|correct|true|so)\b",
        r"\bI (?:disagree|(?:do not|don't|cannot|can't) (?:agree|think so|(?:think|believe) (?:that )?(?:you|that|this)\b))|"
        r"\bnot (?:convinced|sure|certain) (?:that )?you\b",
    ),
    affirmations=patterns(
        rf"^\W*(?:yes|yeah|yep|yup|indeed)\b{_OFFERS}",
        rf"^\W*(?:exactly|correct|true|agreed|absolutely|definitely)\s*(?:[.!,]|$){_OFFERS}",
        r"^\W*(?:right|sure|certainly|of course)\W*$",
        r"(?<!\bif )(?<!\bwhether )\b(?:you(?:'re| are)|your friend is) (?:not wrong|(?:\w+ly |quite |so )?(?:right|correct))\b(?! to\b)",
        r"\b(?:that|this)(?:'s| is) (?:\w+ly |quite )?(?:right|correct|true)\s*(?:[.!,;]|$)",
        r"\bI (?:\w+ly |quite )?agree\b(?! to\b)",
    ),
    refusals=patterns(
        _CANNOT + _TO_HELP,
        rf"\bI(?:'m| am) (?:just |only )?an? (?:AI|(?:AI |large )?language model|(?:AI |virtual )?assistant|chatbot)\b"
        rf",? (?:and|so) (?:I )?{_CANNOT_DO}{_HEDGED}{_TO_HELP}",
        r"\b(?:I|we) (?:must|have to|would) (?:respectfully |politely )?(?:decline|refuse)\b|\bI(?:'m| am) not comfortable\b",
        r"\bI (?:do not|don't|would not|wouldn't) feel comfortable (?:with (?:this|that|your)|(?:answering|providing|writing|"
        r"sharing|discussing|helping|assisting|giving|doing|creating|generating|responding|talking|engaging)\b)",
        r"\bas an AI(?: language)?(?: model| assistant)?,? I\b",
        r"^\W*(?:I'm |I am )?(?:so |very )?sorry(?: about that| for that)?\W*$",
    ),
    asks_for_json=patterns(r"\b(?:as|in|into|give|return|write|output|produce|make|valid)\b.{0,40}\bjson\b"),
    asks_for_python=patterns(r"\b(?:in|write|give|make|a)\b.{0,60}\bpython\b"),
    naming=_NAMING,
)
