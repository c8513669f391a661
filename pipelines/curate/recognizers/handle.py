"""Names of accounts beside the word for where the account is, or behind `@` if they are made of a person's name.

    my insta is @anna.gross   Telegram: jan_k87   카톡 아이디 minjun97   DM @zoe_88   LINE ID: hanako2001   u/quirin_h on reddit

`@` before a word is also a decorator, a scope, a rule of a style sheet: `@property`, `@types/node`, `@media (`, `@param name`.
"""

import re

from presidio_analyzer import Pattern, PatternRecognizer

from pipelines.curate.joined_names import is_joined_name
from pipelines.curate.recognizers.bounded import PSEUDO_LANGUAGE

_NAME = r"[a-z0-9](?:[a-z0-9._]|-(?=[a-z0-9])){1,29}(?<![.\-])"
_PLACE = (
    r"(?:(?<![a-z@/.])(?:insta(?:gram)?|ig|twitter|twtr|telegram|tele|tiktok|tik tok|snap(?:chat)?|discord|threads|mastodon|bluesky|bsky|wechat|weixin|kakao(?:talk)?|signal|skype|venmo|cash ?app|paypal|twitch|steam|reddit|"
    r"linkedin|github|gitlab|pinterest|soundcloud|psn|xbox|gamertag|line|facebook|fb|messenger|whatsapp|vk|onlyfans)(?![a-z])|"
    r"인스타(?:그램)?|트위터|텔레그램|텔레|디스코드|카카오톡|카톡|카카오|틱톡|라인|페북|페이스북|스레드|유튜브|트위치|스팀|インスタ(?:グラム)?|ツイッタ[ー-]|ライン|ディスコ[ー-]ド|微信号?|微博号?|抖音号?|小红书号?|QQ号?)"
)
_WORD = r"(?:user[ _-]?name|handle|account(?: name)?|nick(?:name)?|screen name|id|usuario|usuário|utente|pseudo|benutzername|nutzername|nick|아이디|계정|닉네임|핸들|ID|アカウント|ユ[ー-]ザ[ー-]名|账号|帐号|用户名)"
_LINK = r"(?:\s?(?:is|are|ist|est|es|é|è|은|는|이|가|:|=|は|是|as|at|me at|me on|on|name is|name)(?![a-z])){0,2}[\s:：=\"'`(]{1,3}"
_SHAPED = r"(?=[a-z0-9._-]{0,29}[\d_])"  # a digit or an underscore: a word has none
_REACHED = r"\b(?:dm|pm|follow|followed|tag|tagged|add|cc|ping|hit up|message|text|find|mention(?:ed)?|subscribe to|credit|credits to|photo by|via|shout ?out to|by|from|thanks|thank you|hey|hi|hello)(?: me| us)?(?: at| on| to|,)?\s"
_CODE = frozenset(
    [
        "everyone",
        "here",
        "channel",
        "all",
        "media",
        "import",
        "property",
        "param",
        "params",
        "returns",
        "return",
        "override",
        "test",
        "types",
        "app",
        "dataclass",
        "classmethod",
        "staticmethod",
        "decorator",
        "charset",
        "font",
        "keyframes",
        "supports",
        "include",
        "interface",
        "angular",
    ]
)
_HINTS = (
    *("@", "insta", "twit", "twtr", "discord", "mastod", "bluesky", "bsky", "wechat", "weixin", "kakao", "skype", "venmo", "paypal", "reddit", "gamer", "handle", "screen name"),
    *("linkedin", "github", "gitlab", "pinterest", "soundcloud", "xbox", "facebook", "messenger", "whatsapp", "onlyfans", "benutzer", "usuario", "아이디", "닉네임", "인스타", "트위", "텔레", "디스코", "카톡", "카카오"),
    *("틱톡", "라인", "페북", "페이스북", "스레드", "유튜브", "스팀", "インスタ", "ツイ", "ライン", "ディスコ", "微信", "微博", "抖音", "小红书", "用户名"),
)  # fmt: skip
_SHORT = re.compile(
    r"\b(?:ig|line|psn|fb|vk|qq|snap(?:chat)?|signal|cash ?app|tik ?tok|steam|tele(?:gram)?|threads|u/\w|user ?_?-?name)|ユ[ー-]ザ"
)
_NAME_SHAPED = re.compile(r"(?:@|(?<![a-z\d])u/)[a-z\d]|(?<![^\s\"'`:=(])(?:[a-z][a-z0-9._-]*[\d_]|\d[0-9._-]*[a-z_])")


def may_hold_handle(lower: str) -> bool:
    """Whether a text in lower case is worth searching for names of accounts."""
    if _NAME_SHAPED.search(lower) is None:
        return False
    return any(hint in lower for hint in _HINTS) or _SHORT.search(lower) is not None


class Handle(PatternRecognizer):  # type: ignore[misc]
    """Account names beside their service, and those behind `@` that begin with a given name."""

    def __init__(self) -> None:
        free = r"(?<![\w.@/#:])"
        end = r"(?![\w(/@]|\.\w)"
        super().__init__(
            supported_entity="USERNAME",
            name="Handle",
            supported_language=PSEUDO_LANGUAGE,
            patterns=[
                Pattern("service and @", rf"{_PLACE}(?:\s?{_WORD})?{_LINK}\K@{_NAME}{end}", 0.7),
                Pattern("service and word", rf"{_PLACE}(?:['’]?s?\s?{_WORD})?{_LINK}\K(?!@){_SHAPED}{_NAME}{end}", 0.6),
                Pattern("user name", rf"(?<![a-z])(?:user[ _-]?name|handle|screen name|gamertag|아이디|닉네임|ユ[ー-]ザ[ー-]名|用户名|benutzername|nombre de usuario)\"?{_LINK}\K@?{_SHAPED}{_NAME}{end}", 0.6),
                Pattern("reached", rf"{_REACHED}\K@(?=\w{{3}}){_NAME}{end}", 0.6),
                Pattern("@ and digits", rf"{free}@[a-z][a-z._-]{{2,24}}\d{{2,6}}{end}(?=[\s,.!?)]|$|[가-힣])", 0.5),
                Pattern("reddit", rf"{free}/?u/{_NAME}(?![\w/])", 0.6),
            ],
        )  # fmt: skip

    def invalidate_result(self, pattern_text: str) -> bool:
        """Whether this is a word of code, or nothing says that it is somebody's."""
        plain = pattern_text.removeprefix("@").lower()
        return plain.partition(".")[0] in _CODE or len(plain) < 3


class NamedHandle(PatternRecognizer):  # type: ignore[misc]
    """What stands behind `@` and is a person's name."""

    def __init__(self) -> None:
        super().__init__(
            supported_entity="USERNAME",
            name="NamedHandle",
            supported_language=PSEUDO_LANGUAGE,
            patterns=[Pattern("@ and name", rf"(?<![\w.@/#:])@[a-z]{_NAME}(?![\w(/@]|\.\w)", 0.5)],
        )

    def invalidate_result(self, pattern_text: str) -> bool:
        """Whether this is no person's name."""
        return not is_joined_name(pattern_text.removeprefix("@"))
