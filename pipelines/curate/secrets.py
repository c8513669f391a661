"""Keys, tokens and passwords: bounded patterns of the common issuers, and values behind words such as `password:`.

    AKIA… ghp_… sk-… xoxb-… eyJ….….… -----BEGIN PRIVATE KEY-----   비밀번호는 qwer1234예요   postgres://me:pw@host

A bare random string without a cue is left alone: commit ids and digests look the same.
"""

import regex
from presidio_analyzer import PatternRecognizer

from pipelines.curate.recognizers.bounded import patterns

CASE_FLAGS = regex.ASCII
_ISSUERS = "|".join(
    [
        r"(?:AKIA|ASIA|AROA|AIDA)[0-9A-Z]{16}",
        r"gh[pousr]_[A-Za-z0-9]{20,255}",
        r"github_pat_[A-Za-z0-9_]{22,255}",
        r"sk-[A-Za-z0-9_-]{20,200}",
        r"[rsp]k_(?:live|test)_[A-Za-z0-9]{16,99}",
        r"xox[abeprs]-[A-Za-z0-9-]{10,250}",
        r"AIza[0-9A-Za-z_-]{32,36}",
        r"ya29\.[0-9A-Za-z_-]{20,250}",
        r"hf_[A-Za-z0-9]{30,40}",
        r"npm_[A-Za-z0-9]{36}",
        r"pypi-[A-Za-z0-9_-]{50,250}",
        r"glpat-[A-Za-z0-9_-]{20,50}",
        r"SG\.[A-Za-z0-9_-]{16,32}\.[A-Za-z0-9_-]{16,64}",
        r"eyJ[A-Za-z0-9_-]{10,2000}\.[A-Za-z0-9_-]{4,4000}\.[A-Za-z0-9_-]{4,1000}",
        r"\d{8,10}:[A-Za-z0-9_-]{35}(?![A-Za-z0-9_-])",
    ]
)
_PEM = r"-----BEGIN [A-Z ]{0,30}PRIVATE KEY-----(?:.{0,8000}?-----END [A-Z ]{0,30}PRIVATE KEY-----|.{0,4000})"
_WORD = (
    r"(?:api[_ -]?keys?|secret(?:[_ -]?(?:access)?[_ -]?key)?|access[_ -]?(?:key|token)|account[_ -]?key|auth[_ -]?token|bearer|"
    r"tokens?|passphrase|passw(?:or)?d|passwd|pwd|passcode|client[_ -]?secret|private[_ -]?key|pin(?:[_ -]?(?:code|number))?|otp)"
)
_HANGUL_WORD = r"(?:비밀\s?번호|암호|패스워드|비번|토큰|인증\s?키|인증\s?번호|시크릿\s?키?|API\s?키|액세스\s?키|접속\s?키)"
_LINK = r"(?:\s?(?:is|was|are|:=|=>|=|:|to|는|은|이|가|를|을)){1,2}\s{0,3}[\"'`]?"
_VALUE = r"(?=[!-~]{0,60}[0-9!@#$%^&*+=~])(?!(?:https?|ftp)://)[!#-&*+\--~]{6,200}"
_NOT_VALUE = r"(?!(?:os\.|process\.|self\.|config|getenv|input|None|null|true|false|required|\$\{|\{\{|<[A-Za-z])|\w{1,40}[(\[])"
# One of these stands in every text that holds a secret; case does not matter.
TRIGGER = (
    r"akia|asia|aroa|aida|gh[pousr]_|_pat_|sk-|[rsp]k_|xox|aiza|ya29|hf_|npm_|pypi-|glpat-|sg\.|eyj|\d{8}:|-----begin|key|token|bearer|pass|"
    r"\bpw|pwd|secret|pin\b|otp|://|[?&#;](?:sig|auth|code|session)|authorization|비밀|비번|암호|패스워드|토큰|인증|시크릿|키"
)


def secrets() -> PatternRecognizer:
    """Values of known issuers, private keys, credentials in addresses and query strings, values behind a cue."""
    return patterns(
        "SECRET",
        [
            (rf"(?<![A-Za-z0-9_-])(?:{_ISSUERS})", 0.95),
            (rf"(?s:{_PEM})", 0.95),
            (r"(?i:\b[a-z][a-z0-9+.-]{1,15}://[^\s:/@]{1,100}:)\K[^\s/@]{1,100}(?=@)", 0.9),
            (
                r"(?i:[?&#;](?:access_token|token|api_?key|key|sig|signature|auth|secret|password|code|session)=)\K"
                r"[^\s&#\"'<>\u0080-\uffff]{6,500}",
                0.9,
            ),
            (rf"(?i:(?<![a-z]){_WORD}\b[\"'`]?{_LINK}){_NOT_VALUE}\K{_VALUE}", 0.9),
            (rf"{_HANGUL_WORD}{_LINK}{_NOT_VALUE}\K{_VALUE}", 0.9),
            (
                rf"(?:{_HANGUL_WORD}|(?i:\b(?:pw|passwd|password)))\s(?=[!-~]{{0,30}}[0-9])(?=[!-~]{{0,30}}[A-Za-z])\K{_VALUE}",
                0.8,
            ),
            (
                rf"(?i:\b(?:pin|otp|passcode)(?:\s?(?:code|number))?|비밀\s?번호|비번|인증\s?번호|암호)(?:{_LINK}|\s{{1,2}})\K\d{{4,8}}(?!\d)",
                0.9,
            ),
            (r"(?i:\bauthorization:\s?(?:bearer|basic)\s{1,3})\K[A-Za-z0-9+/=_.-]{8,2000}", 0.9),
        ],
    )
