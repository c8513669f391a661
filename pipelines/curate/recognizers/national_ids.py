"""Identifiers of persons by country: those whose check digits speak for themselves, and those that need their own word.

    RSSMRA85T10A562S (Italy)   X1234567L (Spain)   1 85 05 78 006 084 36 (France)   110101199003074477 (China)
    Steuer-ID 86 095 742 719   passport C01X00T47   NHS no 943 476 5919   사번 20231234   account number: 12345678

python-stdnum knows the checks. A number of eleven digits with one check digit is right by chance in one of ten cases: it
counts beside its word only.
"""

import re

from presidio_analyzer import PatternRecognizer

from pipelines.curate.recognizers.bounded import patterns
from pipelines.curate.recognizers.cued import Cued, Family
from pipelines.curate.recognizers.western_ids import may_hold_account

_FREE, _END = r"(?<![A-Za-z0-9])(?<!\d[.\-])", r"(?![A-Za-z0-9])(?![.\-]\d)"
_MONTH = r"(?:0[1-9]|1[0-2]|[2-9]\d)"
_PASSPORT = r"(?:passports?|passeport|pasaporte|passaporte|passaporto|reisep[aä]ss(?:e|es)?|pass(?=-?\s?(?:nr|nummer))|travel document|паспорт|パスポート|旅券|护照|護照|여권)"
_LICENCE = (
    r"(?:driver'?s?'?[ _-]?licen[cs]e|driving[ _-]?licen[cs]e|licen[cs]e[ _-]?(?=no|num|nr|#|id)|driver[ _-]?(?=number|no\b)|\bDL(?=\s?(?:#|no|num|:|n°|is\b|was\b))|f[uü]hrerschein|fahrerlaubnis|permis(?: de conduire)?|"
    r"(?:permiso|carn[eé]|licencia) de conducir|patente(?: di guida)?|運転免許証?|免許証|驾驶证|驾照|운전면허증?|면허증?(?=\s?번호|[은는:\s]))"
)
_TAX_AND_PERSON = (
    r"(?:\b(?:ssn|itin|nino|utr|nhs|insee|cpf|aadha+r|uidai|bsn|pesel|curp|mrn|tfn|cnpj|siret|siren|vat|ust-?id(?:-?nr)?|uid(?=-?nr)|idnr|nric|hkid|hetu|cuit|cuil|jmbg|cnic|personnummer|p\.?\s?iva|n\.? ?i\.? ?no)\b|"
    r"(?-i:\b(?:NIE|NIF|CIF|DNI|EIN|NIR|PAN|SIN|TIN|RG|NSS|CNI|RFC|NI|SVNR|RVNR|AHV|AVS|NPI|NIP|NISS|CPR|CNP|OIB|EGN|TCKN|RUT|RUN|NIT|CPRnr|PPSN?|NIK|TVA|MBI|C\.F\.|D\.N\.I\.|N\.I\.E\.|N\.I\.F\.|My ?Number|Individual Number)(?![A-Za-z])|\bCPF/MF\b)|"
    r"personal (?:id(?:entity|entification)? ?)?(?:number|code|no\b)|citizen(?:ship)? (?:id|number)|resident(?:ial)? (?:id|registration|permit)|(?:national|person|personal)[ _-]?(?:id|nummer)|f[øo]dselsnummer|cpr-?(?:nr|nummer)|henkilötunnus|rodné číslo|(?:t\.?c\.? )?kimlik|"
    r"c[eé]dula(?: de ciudadan[ií]a)?|dow[oó]d(?:u)? osobist(?:y|ego)|numer dowodu|bilhete de identidade|cart[ãa]o de cidad[ãa]o|burgerservicenummer|rijksregisternummer|registre national|t\.?v\.?a\.?(?= (?:n|intra))|alien (?:registration )?number|green card|social insurance|"
    r"umsatzsteuer-?id(?:entifikationsnummer)?(?:-?nr)?|sozialversicherungs-?nr|"
    r"social security|(?<=\b(?:my|his|her|your|their) )social|employer identification|national insurance|taxpayer(?: reference)?|tax(?:payer)?[ _-]?(?:id|identification|file|ref(?:erence)?)|"
    r"steuer[ -]?id(?:nr)?(?![a-z])|steuer(?:liche )?[ -]?ident(?:ifikations)?(?:[ -]?(?:nummer|nr))?|steuer(?:nummer|-?nr)|(?:sozial|renten|kranken)versicherung(?:s(?:nummer|-?nr))?|versicherten(?:nummer|-?nr)|"
    r"(?:personal)?ausweis(?:nummer|-?nr)?|s[eé]curit[eé] sociale|num[eé]ro fiscal|n[°º] fiscal|r[eé]f[eé]rence fiscale|carte (?:nationale )?d['’]identit[eé]|carte vitale|documento (?:nacional )?de identidad|seguridad social|tarjeta sanitaria|"
    r"codice fiscale|partita iva|carta d['’]identit[aà]|national id(?:entity|entification)?(?: card)?|identity card|id card|medicare|medicaid|(?:health )?insurance(?= (?:id|number|no|card|policy))|policy(?= (?:number|no))|"
    r"member[ _-]?id|patient(?:[ _-]?id| (?=no|number))|medical record|"
    r"身份证|身分証|身分證|身份證|社会保障|社保|マイナンバー|個人番号|保険証|健康保険|年金番号|在留カード|"
    r"주민(?:등록)?\s?번호|주민등록|주민|외국인등록|사업자\s?(?:등록)?\s?번호|사업자등록|법인등록|건강보험|보험증|군번|사번|학번)"
)
_ACCOUNT = (
    r"(?:\b(?:bank )?(?:account|acct|a/c)(?![a-z])|routing|\baba\b|sort code|kontonummer|kontonr|\bkonto(?=\s?(?:nr|nummer|:|ist))|bankleitzahl|(?-i:\bBLZ\b)|num[eé]ro de compte|compte bancaire|(?-i:\bRIB\b)|(?:n[uú]mero de )?cuenta(?: bancaria)?|"
    r"口座(?:番号)?|账号|帐号|银行卡号?|계좌|통장)"
)  # fmt: skip
_PLATE_CUE = (
    r"(?:(?:licen[cs]e|number|registration|vehicle|reg|car)[ _-]?(?:plates?|tag)|\bplates?\b|\bregistration\b|(?<![a-z])reg\.?(?=[ :])|\bvehicle\b|\b(?:my|his|her|their|our|your|a|the|silver|white|black|red|blue|grey|gray) (?:car|van|truck|suv|motorbike|taxi)\b|"
    r"kennzeichen|\bauto\b|fahrzeug|pkw|plaque|immatricul(?:[eé]e?|ation)|v[eé]hicule|voiture|matr[ií]cula|placas?\b|coche|targa|車両番号|ナンバ[ー-](?:プレ[ー-]ト)?|车牌号?|차량\s?번호|차\s?번호|번호판|차량)"
)  # fmt: skip
_PLATE_LINKED = r"(?:[\s:：=#|,\-–\"'「(]{0,3}(?:number|no|nr|n°|nº|is|was|reads?|with|the|reg|plate|registration|ist|lautet|est|es|la|le|el|de|は|が|는|은|이|가)(?![a-z])\.?){0,4}[\s:：=#|,\-–\"'「(]{0,3}"
_PLATE_SHAPE = r"(?-i:(?:[A-ZÄÖÜ]{1,3}[ -][A-Z]{1,2}[ -]?\d{1,4}[EH]?|[A-Z]{2}\d{2}[ -]?[A-Z]{3}|[A-Z]{1,3}[ -]?\d{2,4}[ -]?[A-Z]{0,2}|\d{1,4}[ -]?[A-Z]{2,3}(?:[ -]?\d{1,3})?|\d[A-Z]{3}\d{3}))"
# In every plate, in lower case: a shape that is one alone, or the word for a plate or a car.
_PLATE_SHAPED = re.compile(
    r"\d\s?[\uac00-\ud7a3]\s?\d{4}|\d\s?[\u3041-\u3093]\s?\d|[a-z]{2}-\d{3}-[a-z]{2}|[a-z]{2}\d\d [a-z]{3}"
)
_PLATE_HINTS = (
    "plate",
    "reg",
    "vehicle",
    "car",
    "van",
    "truck",
    "suv",
    "motorbike",
    "taxi",
    "tag",
    "kennzeichen",
    "auto",
    "fahrzeug",
    "pkw",
    "plaque",
    "immatric",
    "voiture",
    "hicul",
    "matr",
    "placa",
    "coche",
    "targa",
    "車",
    "车",
    "ナンバ",
    "차",
    "번호판",
)


def may_hold_plate(lower: str) -> bool:
    """Whether a text in lower case is worth searching for vehicle plates."""
    return any(hint in lower for hint in _PLATE_HINTS) or _PLATE_SHAPED.search(lower) is not None


_VALUE = re.compile(r"\d(?:[ \-./]?[\dA-Z]){4}|[A-Za-z]{2,6}\d{3}|[A-Za-z]\d{5}|\d[a-z\d]{5}")


def may_hold_cued(text: str, lower: str) -> bool:
    """Whether a text, and the same in lower case, may hold a number with its word beside it, or with a bank's name."""
    if _VALUE.search(text) is None:
        return False
    return any(family.may_stand_in(lower) for family in FAMILIES) or may_hold_account(lower)


_PASSPORT_HINTS = ("pass", "pasaporte", "travel", "паспорт", "パスポ", "旅券", "护照", "護照", "여권")
_LICENCE_HINTS = (
    "licen",
    "driver",
    "driving",
    "dl",
    "führer",
    "fuhrer",
    "fahrer",
    "permis",
    "carn",
    "patente",
    "運転",
    "免許",
    "驾",
    "면허",
)
_PERSON_HINTS = (
    *(
        "aadh",
        "uidai",
        "pesel",
        "curp",
        "siret",
        "siren",
        "nric",
        "hkid",
        "cuit",
        "cuil",
        "jmbg",
        "cnic",
        "person",
        "d.n.i",
        "n.i.",
        "c.f.",
        "my number",
        "mynumber",
        "individual",
        "citizen",
        "resident",
        "national",
        "fødsel",
    ),
    *(
        "fodsel",
        "henkil",
        "rodné",
        "rodne",
        "kimlik",
        "dula",
        "osobist",
        "numer",
        "bilhete",
        "cidad",
        "burger",
        "rijks",
        "registre",
        "t.v.a",
        "alien",
        "green card",
        "social",
        "umsatz",
        "sozial",
        "employer",
        "insurance",
        "tax",
    ),
    *(
        "steuer",
        "versicher",
        "ausweis",
        "curit",
        "fiscal",
        "carte",
        "documento",
        "seguridad",
        "tarjeta",
        "codice",
        "partita",
        "identi",
        "id card",
        "medic",
        "policy",
        "member",
        "patient",
        "身份",
        "身分",
        "社会",
        "社保",
    ),
    *(
        "マイナ",
        "個人",
        "保険",
        "健康",
        "年金",
        "在留",
        "주민",
        "외국인",
        "사업자",
        "법인",
        "건강",
        "보험",
        "군번",
        "사번",
        "학번",
    ),
)
_SHORT = re.compile(
    r"(?<![a-z])(?:p\.?\s?iva|n\.? ?i\.? ?no|ust-?id|(?:ssn|itin|nino|utr|nhs|insee|cpf|bsn|mrn|tfn|cnpj|vat|uid|idnr|hetu|nie|nif|cif|dni|ein|nir|pan|sin|tin|rg|nss|cni|rfc|ni|svnr|rvnr|ahv|avs|npi|nip|niss|cpr(?:nr)?|cnp|oib|egn|tckn|rut|run|nit|ppsn?|nik|tva|mbi)(?![a-z]))"
)
_ACCOUNT_HINTS = (
    "account",
    "acct",
    "a/c",
    "routing",
    "aba",
    "sort code",
    "konto",
    "bankleit",
    "blz",
    "compte",
    "rib",
    "cuenta",
    "口座",
    "账号",
    "帐号",
    "银行",
    "계좌",
    "통장",
)
FAMILIES = (
    Family("NATIONAL_ID", _PASSPORT, 7, 10, 4, hints=_PASSPORT_HINTS),
    Family("NATIONAL_ID", _LICENCE, 7, 18, 3, hints=_LICENCE_HINTS, short=re.compile(r"\bdl\b")),
    Family("NATIONAL_ID", _TAX_AND_PERSON, 6, 18, 5, hints=_PERSON_HINTS, short=_SHORT),
    Family("NATIONAL_ID", _ACCOUNT, 6, 24, 6, hints=_ACCOUNT_HINTS, short=re.compile(r"\b(?:aba|blz|rib)\b")),
)  # fmt: skip


def cued_ids(timeout_seconds: float) -> Cued:
    """Passports, licences, identity, tax, insurance and account numbers of any country beside their word."""
    return Cued("CuedIds", FAMILIES, timeout_seconds)


def plates() -> PatternRecognizer:
    """Vehicle plates: Korean, Japanese, French and British shapes alone, any other beside a word for car or plate."""
    hangul = "가나다라마거너더러머버서어저고노도로모보소오조구누두루무부수우주바사아자허하호배"
    not_counted = r"(?!\s?(?:원|명|개|년|월|일|시|분|초|m|km|kg|㎡|호|동|층|번|건|회|세대|가구|여|만|억|천|%|\d))"
    return patterns(
        "VEHICLE_PLATE",
        [
            (rf"(?:(?:서울|부산|대구|인천|광주|대전|울산|경기|강원|충북|충남|전북|전남|경북|경남|제주|세종)\s?)?(?<!\d)\d{{2,3}}\s?[{hangul}]\s?\d{{4}}(?!\d){not_counted}", 0.6),
            (r"[\u4e00-\u9fff\u3040-\u309f]{1,4}\s?\d{2,3}\s?[\u3041-\u3093]\s?(?:\d{1,2}[-‐]\d{2}|\d{4})(?!\d)", 0.7),
            (rf"{_FREE}(?!SS|WW)[A-HJ-NP-TV-Z]{{2}}-\d{{3}}-(?!SS)[A-HJ-NP-TV-Z]{{2}}{_END}", 0.6),
            (rf"{_FREE}[A-HJ-PR-Y]{{2}}(?:0[2-9]|[12]\d|5[1-9]|6\d|7[0-6]) [A-HJ-PR-Z]{{3}}{_END}", 0.6),
            (rf"(?i:{_PLATE_CUE}{_PLATE_LINKED})\K{_FREE}(?=[A-ZÄÖÜ0-9 -]{{0,8}}\d)(?=[0-9 -]{{0,8}}[A-ZÄÖÜ]){_PLATE_SHAPE}{_END}", 0.6),
        ],
    )  # fmt: skip
