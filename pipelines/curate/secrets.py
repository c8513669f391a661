"""Keys, tokens and passwords: bounded patterns of the common issuers, and values behind words such as `password:`.

    AKIA… ghp_… sk-… xoxb-… eyJ….….… -----BEGIN PRIVATE KEY-----   비밀번호는 qwer1234예요   postgres://me:pw@host

A bare random string without a cue is left alone: commit ids and digests look the same.
"""

import re

import regex
from presidio_analyzer import PatternRecognizer

from pipelines.curate.recognizers.bounded import patterns

CASE_FLAGS = regex.ASCII
# Prefix and value of each issuer's keys, as their documentation and secret scanners give them.
_ISSUERS = "|".join(
    [
        r"(?:AKIA|ASIA|AROA|AIDA)[0-9A-Z]{16}",
        r"(?:LTAI|AKID)[A-Za-z0-9]{12,40}",  # Alibaba, Tencent
        r"gh[pousr]_[A-Za-z0-9]{20,255}",
        r"github_pat_[A-Za-z0-9_]{22,255}",
        r"gl(?:pat|dt|rt|ptt|cbt|ft|soat|imt|agent|oas)-[A-Za-z0-9_-]{20,64}",
        r"sk-[A-Za-z0-9_-]{20,200}",
        r"[rsp]k_(?:live|test)_[A-Za-z0-9]{16,99}",
        r"pk_[A-Za-z0-9_-]{32,64}",  # our own
        r"whsec_[A-Za-z0-9+/=]{20,80}",
        r"xox[abeprs]-[A-Za-z0-9-]{10,250}",
        r"xapp-\d-[A-Za-z0-9-]{10,250}",
        r"AIza[0-9A-Za-z_-]{32,36}",
        r"GOCSPX-[A-Za-z0-9_-]{20,40}",
        r"ya29\.[0-9A-Za-z_-]{20,250}",
        r"1//0[A-Za-z0-9_-]{30,200}",
        r"hf_[A-Za-z0-9]{30,40}",
        r"(?:gsk|r8|ntn|fw|figd|sntry[su]|gl(?:sa|c)|sbp|pcsk|lin_api|nvapi|tskey-[a-z]{2,10}|secret)[_-](?=[A-Za-z_=-]{0,60}\d)[A-Za-z0-9_=-]{30,250}",
        r"(?:xai|pplx)-[A-Za-z0-9]{30,120}",
        r"npm_[A-Za-z0-9]{36}",
        r"pypi-[A-Za-z0-9_-]{50,250}",
        r"rubygems_[a-f0-9]{40,64}",
        r"dckr_(?:pat|oat)_[A-Za-z0-9_-]{20,60}",
        r"do[opr]_v1_[a-f0-9]{40,80}",
        r"shp(?:at|ss|ca|pa)_[A-Fa-f0-9]{24,64}",
        r"sq0(?:atp|csp|idp)-[A-Za-z0-9_-]{20,60}",
        r"EAA[A-Za-z0-9]{40,300}",  # Square, Facebook
        r"dapi[a-f0-9]{32}(?:-\d)?",
        r"(?:SK|AC|key-)[0-9a-f]{32}",  # Twilio, Mailgun
        r"[0-9a-f]{32}-us\d{1,2}",  # Mailchimp
        r"NR(?:AK|JS|II|RA)-[A-Za-z0-9_-]{19,64}",
        r"PMAK-[a-f0-9]{20,30}-[a-f0-9]{18,40}",
        r"hv[sbr]\.[A-Za-z0-9_-]{24,250}",
        r"pscale_[a-z]{2,5}_[A-Za-z0-9_.-]{30,80}",
        r"dp\.(?:pt|st|ct|sa|scim|audit)\.[A-Za-z0-9._-]{30,80}",
        r"AT(?:ATT3|BB|CTT3|TA)[A-Za-z0-9_=-]{28,250}",  # Atlassian
        r"AGE-SECRET-KEY-1[0-9A-Z]{50,60}",
        r"SG\.[A-Za-z0-9_-]{16,32}\.[A-Za-z0-9_-]{16,64}",
        r"eyJ[A-Za-z0-9_-]{10,2000}\.[A-Za-z0-9_-]{4,4000}\.[A-Za-z0-9_-]{4,1000}",
        r"[MNO][A-Za-z0-9_-]{22,27}\.[A-Za-z0-9_-]{6}\.[A-Za-z0-9_-]{25,45}",  # Discord
        r"AAAA[A-Za-z0-9_-]{7}:[A-Za-z0-9_-]{50,250}",  # Firebase
        r"\d{8,10}:[A-Za-z0-9_-]{32,38}(?![A-Za-z0-9_-])",  # Telegram
        # any other issuer: a short lower-case prefix and 28 characters with upper, lower and five digits among them
        r"[a-z][a-z0-9]{0,9}(?:[_-][a-z0-9]{1,6}){0,2}[_-](?=[A-Za-z0-9]{28})(?=[a-z0-9]{0,60}[A-Z])(?=[A-Z0-9]{0,60}[a-z])"
        r"(?=(?:[A-Za-z]{0,20}\d){5})[A-Za-z0-9]{28,250}(?![A-Za-z0-9_-])",
    ]
)
_PEM = (
    r"-----BEGIN [A-Z ]{0,30}PRIVATE KEY(?: BLOCK)?-----"
    r"(?:.{0,16000}?-----END [A-Z ]{0,30}PRIVATE KEY(?: BLOCK)?-----|.{0,4000})"
)
_WORD = (
    r"(?:api[_ -]?keys?|secret(?:[_ -]?(?:access)?[_ -]?key)?|access[_ -]?(?:key|token)|account[_ -]?key|auth[_ -]?token|bearer|"
    r"tokens?|passphrase|passw(?:or)?d|passwd|pwd|pw|passcode|(?:(?<=_)|\b)pass(?=[\"'`]?\s?[:=])|client[_ -]?secret|private[_ -]?key|passwort|kennwort|passphrase|zugangscode|mot de passe|mdp|code secret|contraseña|contrasena|clave|senha|palavra-passe|hasło|heslo|wachtwoord|lösenord|adgangskode|passord|salasana|şifre|parola|pin(?:[_ -]?(?:code|number))?|otp)"
)
_HANGUL_WORD = r"(?:пароль|κωδικός|パスワ[ー-]ド|暗証番号|密码|口令|비밀\s?번호|암호|패스워드|비번|토큰|인증\s?키|인증\s?번호|인증\s?코드|시크릿\s?키?|API\s?키|액세스\s?키|접속\s?키)"
_LINK = r"(?:\s?(?:'s|\s\(|is|was|are|ist|lautet|est|es|c'est|は|が|是|为|:=|=>|->|→|=|:|to|는|은|이|가|를|을)){1,2}\s{0,3}[\"'`]?"
_VALUE = r"(?=[!-~]{0,60}[0-9!@#$%^&*+=~])(?!(?:https?|ftp)://)[!#-&*+\--~]{6,200}"
# Words that stand behind `password is` or `password:` without being one; only letters, so they need telling apart.
_NOT_PASSWORD = (
    r"(?!(?:required|optional|string|str|text|bytes|int|none|null|true|false|undefined|password|passwd|wrong|incorrect|invalid|correct|"
    r"expired|weak|strong|missing|empty|lost|forgotten|hidden|stored|hashed|encrypted|changed|reset|needed|necessary|protected|"
    r"secure|safe|important|visible|shown|being|always|never|still|also|something|simple|short|long|easy|hard|same|different|"
    r"unknown|working|about|based|case|used|saved|sent|kept|your|their|there|really|quite|rather|probably|actually|super|"
    r"public|private|self|config|settings|request|value|field|input)\b)"
)
_NOT_VALUE = (
    r"(?!(?:os\.|process\.|self\.|config|getenv|input|None|null|true|false|required|\$\{|\{\{|<[A-Za-z])|\w{1,40}[(\[])"
)
# One of these stands in every text that holds a secret, in lower case. Looking for each is far faster than one pattern of
# alternatives; so are patterns behind the one mark that they cannot do without.
_PARTS = (
    *("akia", "asia", "aroa", "aida", "ltai", "akid", "sk-", "xox", "xapp-", "aiza", "gocspx", "ya29", "1//0", "npm_", "pypi-", "eyj"),
    *("dapi", "eaa", "pmak-", "pscale", "atatt", "atbb", "atctt", "atta", "-----begin", "putty", "key", "token", "bearer", "pass"),
    *("mysql", "curl", "cookie", "sess", "cvc", "cvv", "cvn", "code", "pwd", "secret", "phrase", "mnemonic", "otp", "://"),
    *("authorization", "문구", "니모닉", "비밀", "비번", "암호", "kennwort", "zugang", "mdp", "contrase", "clave", "senha", "パスワ", "暗証", "密码", "口令", "패스워드", "hasł", "hesl", "wachtw", "lösenord", "adgangsk", "salasana", "şifre", "parola", "парол", "κωδικ", "토큰", "인증", "시크릿", "키"),
)  # fmt: skip
_MARKED = tuple(
    (mark, re.compile(pattern, re.ASCII))
    for mark, pattern in (
        ("_", r"_(?:(?<=gh[pousr]_)|(?<=[rsp]k_)|[a-z0-9_=-]{20})"),
        ("-", r"-(?:us\d|[a-z0-9_=-]{20}|(?<=nr\w\w-))"),
        ("gl", r"gl\w{2,5}-"),
        (".", r"\.(?:(?<=sg\.)|(?<=hv[sbr]\.)|(?<=dp\.)\w|(?<=[\w-]\.)[\w-]{6}\.[\w-])"),
        (":", r"\d{8}:"),
        ("sk", r"sk[0-9a-f]{32}"),
        ("ac", r"ac[0-9a-f]{32}"),
        ("pw", r"\bpw"),
        ("pin", r"pin\b"),
        ("sig", r"[?&#;]sig"),
        ("auth", r"[?&#;]auth"),
    )
)


def may_hold_secret(lower: str) -> bool:
    """Whether a text in lower case is worth searching for secrets."""
    return any(part in lower for part in _PARTS) or any(
        mark in lower and pattern.search(lower) is not None for mark, pattern in _MARKED
    )


def secrets() -> PatternRecognizer:
    """Values of known issuers, private keys, credentials in addresses and query strings, values behind a cue."""
    return patterns(
        "SECRET",
        [
            (rf"(?<![A-Za-z0-9_-])(?:{_ISSUERS})", 0.95),
            (rf"(?s:{_PEM})", 0.95),
            (r"(?i:\b[a-z][a-z0-9+.-]{1,15}://[^\s:/@]{0,100}:)\K[^\s/@]{1,100}(?=@)", 0.9),
            (
                r"(?i:[?&#;](?:access_token|token|api_?key|key|sig|signature|auth|secret|password|code|session)=)\K"
                r"[^\s&#\"'<>\u0080-\uffff]{6,500}",
                0.9,
            ),
            (rf"(?i:(?<![a-z]){_WORD}\b[\"'`]?{_LINK}){_NOT_VALUE}\K{_VALUE}", 0.9),
            (rf"{_HANGUL_WORD}{_LINK}{_NOT_VALUE}\K{_VALUE}", 0.9),
            (
                rf"(?:{_HANGUL_WORD}|(?i:\b(?:pw|pwd|passwd|password|passwort|hasło|wachtwoord|contraseña|senha|mdp)))\s(?=[!-~]{{0,30}}[0-9])(?=[!-~]{{0,30}}[A-Za-z])\K{_VALUE}",
                0.8,
            ),
            (
                rf"(?i:\b(?:pin|otp|passcode|(?:verification|security|confirmation|authentication|login|access|one[ -]time|2fa)(?=\s(?:code|pin)))"
                rf"(?:\s?(?:code|number|pin))?|비밀\s?번호|비번|인증\s?(?:번호|코드)|암호)(?:{_LINK}|\s{{1,2}}|(?=\[))[\[(]?"
                rf"\K(?:[#*]{{0,2}}\d{{4,8}}(?:[#*]{{1,2}}\d{{0,8}}){{0,2}}|\d{{3}}[ -]\d{{3}})(?!\d)",
                0.9,
            ),
            (rf"(?i:\b(?:cvc|cvv|cvn)2?(?:\s?(?:번호|code|number))?)(?:{_LINK}|\s{{0,2}})\K\d{{3,4}}(?!\d)", 0.8),
            (
                rf"(?i:(?<![a-z])(?:passw(?:or)?d|passwd|pwd|(?<=_)pass|passphrase)[\"'`]?\s?[:=]{{1,2}}\s?[\"']{_NOT_PASSWORD})"
                r"\K[^\"'\n\u0080-\uffff]{4,100}(?=[\"'])",
                0.8,
            ),
            (rf"(?i:\b(?:pw|pwd|passwd|password)\s?[:=]\s{{0,2}}{_NOT_PASSWORD})\K[a-z]{{6,40}}(?![\w.(\[:])", 0.7),
            (
                rf"(?i:\b(?:my|our|the|his|her|their|your)\s(?:[\w-]{{2,12}}\s)?(?:passw(?:or)?d|passphrase|pw)\s(?:is|was|:|=)\s{_NOT_PASSWORD})"
                r"\K[a-z]{6,40}(?![\w(\[])(?! (?:for|to|by|in|on|at|and|or|of|with)\b)",
                0.7,
            ),
            (r"(?i:\bcurl\b[^\n]{0,200}?\s(?:-u|--user)[\s=]{1,2}[\"']?[^\s:\"']{1,64}:)\K[^\s\"']{3,100}", 0.9),
            (r"(?i:\bcookie:\s?)\K(?=[^\s=]{1,64}=)[^\r\n\"']{8,2000}", 0.9),
            (
                r"(?i:(?:php|j|asp\.net_)?sess(?:ion)?[_-]?id[\"']?\s?[=:]\s?[\"']?)\K(?=[\w%.-]{0,60}\d)[\w%.-]{8,200}",
                0.8,
            ),
            (r"(?i:\b(?:G-)?\K\d{4,8}(?= is your [^\n]{0,40}\b(?:code|pin|otp|password)\b))", 0.8),
            (r"(?i:<\w{0,20}(?:password|passwd|pwd|secret|token|api_?key)\w{0,10}>)\K[^<>\n]{4,200}(?=</)", 0.8),
            (r"(?i:\bmysql(?:dump|admin)?\b[^\n]{0,100}?\s-p|\bsshpass\s-p\s?[\"']?)\K[^\s\"']{4,100}", 0.8),
            (
                r"(?i:\b(?:wi-?fi|ssid|smtp|login|user(?:name)?|id)\b[^\n]{0,40}?\bpass\s)\K(?=[!-~]{0,30}\d)[!-~]{6,100}",
                0.7,
            ),
            (
                r"(?i:\b(?:(?:recovery|seed|mnemonic|secret)\s?phrase|mnemonic|passphrase)|시드\s?문구|니모닉|복구\s?문구)(?:은|는)?\s?[:=]\s?"
                r"\K[a-z]{3,12}(?: [a-z]{3,12}){3,23}",
                0.7,
            ),
            (r"(?s:PuTTY-User-Key-File-\d:.{0,8000}?Private-Lines:.{0,6000}(?:Private-MAC: \w{1,128})?)", 0.95),
            (r"(?i:\bauthorization:\s?(?:bearer|basic)\s{1,3})\K[A-Za-z0-9+/=_.-]{8,2000}", 0.9),
        ],
    )
