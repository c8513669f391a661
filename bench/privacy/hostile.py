"""The hostile split: forms that real papers, chats, tables and logs write, gathered against the rules once they stood.

Its rows were looked at and the rules mended by kind, so its figures are no evidence; a fall of them is.
"""

import random
import string

from stdnum import luhn
from stdnum.mx import curp

from bench.privacy import checked
from bench.privacy.rows import Maker, Part, digits, one_of, pattern

_PEOPLE = """Erika Mustermann|Jean-Luc Castellan|María del Carmen Ruiz|Jan Kowalczyk|Giuseppe Bellini|Tiago Nogueira|Annika Lindholm|Marek Zawadzki|Chantal Berthier|Ruairí Keane
Adaeze Nwosu|Babatunde Fashola|Rajesh Subramanian|Anjali Deshpande|Hyun-woo Jeong|Mei-Ling Hsu|Kazuki Morimoto|Bogdan Ivanović|Eszter Halász|Sanna Mäkinen
Henrike von Bülow|Ludwig zu Solms|Pilar de la Fuente|Carlos del Bosque|Hugo van der Meer|Abdul bin Rashid|Mary-Kate O'Rourke|Deirdre McGillicuddy|Zoë Ångström|Noël D'Arcy
Beatrix Oberhauser|Gerlinde Pfaffinger|Quirin Hintermaier|Leszek Przybylski|Bożena Szczepańska|Rosalinda Achterberg|Cosimo Taviani|Benedetta Falcone|Guilherme Teixeira|Iolanda Furtado""".replace(
    "\n", "|"
).split("|")
_HANGUL = [
    "김도윤",
    "이하준",
    "박서준",
    "최예은",
    "정시우",
    "강지유",
    "조유진",
    "윤채원",
    "장민재",
    "임수빈",
    "한지훈",
    "오다은",
    "서건우",
    "신예린",
    "권도경",
    "황민서",
    "안재현",
    "송하린",
    "류지원",
    "홍승현",
    "남궁현",
    "선우진",
    "황보라",
    "문가영",
    "배수지",
    "백승호",
    "유해인",
    "노윤서",
    "심규리",
    "곽동현",
]
_KANJI = [
    "田中太郎",
    "佐藤花子",
    "鈴木一郎",
    "高橋美咲",
    "伊藤健太",
    "渡辺直美",
    "山本由美子",
    "中村翔太",
    "小林真央",
    "加藤大輔",
    "吉田沙織",
    "山田孝之",
    "松本恵",
    "井上陽介",
    "木村拓郎",
    "清水葵",
]
_HANZI = [
    "王小明",
    "李娜",
    "张伟强",
    "刘洋",
    "陈晓华",
    "杨丽娟",
    "赵建国",
    "黄志远",
    "周敏",
    "吴秀英",
    "徐静怡",
    "孙浩然",
    "欧阳明",
    "司马光远",
]
_CYRILLIC = [
    "Наталья Соколова",
    "Иван Кузнецов",
    "Олена Шевченко",
    "Дмитрий Орлов",
    "Анна Каренникова",
    "Сергей Павлович Морозов",
]
_GREEK = ["Γιώργος Παπαδόπουλος", "Ελένη Νικολάου", "Δημήτρης Καραγιάννης"]


def _last(name: str) -> str:
    return name.split(" ", 1)[1]


def _shouted(rng: random.Random) -> str:
    return rng.choice(_PEOPLE).upper()


def _reversed(rng: random.Random) -> str:
    first, last = rng.choice(_PEOPLE).split(" ", 1)
    return rng.choice(
        (f"{last}, {first}", f"{last.upper()}, {first.upper()}", f"{last.upper()} {first}", f"{last.upper()}, {first}")
    )


def _initials(rng: random.Random) -> str:
    last = rng.choice([n for n in _PEOPLE if n.count(" ") == 1]).split(" ")[1]
    a, b = rng.choice("ABCDEFGHJKLM"), rng.choice("KLMNPRST")
    return rng.choice((f"{a}. {b}. {last}", f"{a}.{b}. {last}", f"{a}. {last}"))


def _middle(rng: random.Random) -> str:
    first, last = rng.choice(_PEOPLE).split(" ", 1)
    return rng.choice(
        (
            f"{first} {rng.choice('ABCDEFG')}. {last}",
            f"{first} “{rng.choice(('Ace', 'Bud', 'Skip', 'Doc'))}” {last}",
            f'{first} "{rng.choice(("Ace", "Bud", "Skip"))}" {last}',
        )
    )


def _pl(rng: random.Random) -> str:
    street = rng.choice(
        (
            "ul. Marszałkowska",
            "ul. Kwiatowa",
            "al. Jerozolimskie",
            "os. Tysiąclecia",
            "pl. Grunwaldzki",
            "ulica Długa",
            "ul. 3 Maja",
            "ul. św. Jana",
        )
    )
    number = rng.choice(
        (
            f"{rng.randrange(1, 99)}",
            f"{rng.randrange(1, 99)}/{rng.randrange(1, 60)}",
            f"{rng.randrange(1, 99)}A m. {rng.randrange(1, 60)}",
        )
    )
    tail = rng.choice(
        (
            "",
            f", {pattern('%#-###')(rng)} Warszawa",
            f", {pattern('%#-###')(rng)} Kraków",
            f"\n{pattern('%#-###')(rng)} Gdańsk",
        )
    )
    return f"{street} {number}{tail}"


def _word_number(rng: random.Random) -> str:
    return rng.choice((
        "One Market Plaza, San Francisco, CA 94105", "Two Embarcadero Center, San Francisco, CA", "One Infinite Way, Redmond, WA 98052", "Ten Hanover Court, London W1S 1YF", "Three Lakes Drive, Northfield, IL 60093",
    ))  # fmt: skip


def _us(rng: random.Random) -> str:
    n = rng.randrange(2, 9900)
    return rng.choice((
        f"{n} W. 23rd St., Apt. 5-C, New York, NY 10011", f"{n} Calle Ocho, Miami, FL 33135", f"{n} Rural Route 4, Dothan, AL 36301", f"{n} NE Broadway Ste 300, Portland OR 97232", f"{n} 5th Ave Fl 12 New York NY 10118",
        f"{n} Martin Luther King Jr. Blvd., Durham, NC 27701", f"{n} SOUTH STATE STREET\nCHICAGO IL 60605", f"P.O. Box {n}\nHouston, TX 77001", f"{n} elm street, unit 4, denver, co 80203", f"{n} Highway 61 N, Duluth, MN 55804", f"APO AE 09{rng.randrange(100, 999)}",
    ))  # fmt: skip


def _gb(rng: random.Random) -> str:
    n = rng.randrange(2, 240)
    return rng.choice((
        f"Flat {n % 20 + 1}\n{n} Kentish Town Road\nLondon\nNW1 9QB", "The Old Rectory, Church Lane, Little Snoring, Norfolk NR21 0HH", f"{n} Lower Clapton Rd, Hackney, E5 0NS", "Rose Cottage, Mill Lane, Ambleside LA22 9EF", f"2nd Floor, {n} Deansgate, Manchester M3 2BW",
        f"{n}b The Broadway, Wimbledon, London, SW19 1QA", f"Basement Flat, {n} Gloucester Terrace, London W2 6HU", f"Unit {n % 30 + 1} Riverside Industrial Estate, Bath Road, Bristol BS4 3EW",
    ))  # fmt: skip


def _world(rng: random.Random) -> str:
    n = rng.randrange(2, 150)
    return rng.choice((
        f"Musterstraße {n}, 2. OG links, 60311 Frankfurt am Main", f"Straße des 17. Juni {n}, 10623 Berlin", f"Schloßallee {n}\n01069 Dresden", f"D-{pattern('8####')(rng)} München, Leopoldstr. {n}", f"Bahnhofstrasse {n}, 8001 Zürich", f"Mariahilfer Straße {n}/12, 1060 Wien", f"Postfach 10 20 {n % 80 + 10}, 50667 Köln",
        f"{n} rue du Faubourg Saint-Honoré, 75008 Paris", f"{n}, boulevard de la Croisette\n06400 Cannes", f"{n} allée des Tilleuls, Bât. C, 33000 Bordeaux", f"BP {n}, 97100 Basse-Terre",
        f"Calle Gran Vía, {n}, 4º dcha., 28013 Madrid", f"C/ de la Princesa nº {n}, 3ºA, 28008 Madrid", f"Avenida de América, {n}, bajo, 41092 Sevilla", f"Carrer de Mallorca {n}, 2n 1a, 08036 Barcelona", f"Apartado de Correos {n}, 29080 Málaga",
        f"Via Giuseppe Garibaldi {n}, 20121 Milano (MI)", f"Piazza San Marco, {n}, 30124 Venezia", f"Corso Vittorio Emanuele II {n}/B, 10128 Torino TO", f"Rua Augusta, {n} - apto 42, Consolação, São Paulo - SP, 01305-000", f"Av. Paulista, {n}, 10º andar, São Paulo/SP", f"Rua de Santa Catarina {n}, 2.º Esq., 4000-447 Porto",
        f"Keizersgracht {n}-II, 1016 EA Amsterdam", f"Van Goghstraat {n}, 3511 AB Utrecht", f"Drottninggatan {n}, 111 51 Stockholm", f"Vesterbrogade {n}, 2. tv, 1620 København V", f"Karl Johans gate {n}, 0162 Oslo",
    ))  # fmt: skip


def _asia(rng: random.Random) -> str:
    n = rng.randrange(2, 90)
    return rng.choice((
        f"東京都港区六本木{n % 9 + 1}丁目{n % 12 + 1}-{n % 30 + 1} ヒルズ{n + 100}号室", f"〒530-0001 大阪府大阪市北区梅田{n % 5 + 1}-{n % 9 + 1}-{n % 7 + 1}", f"北海道札幌市中央区北{n % 9 + 1}条西{n % 9 + 1}丁目", f"京都府京都市下京区烏丸通{n % 5 + 1}-{n}", f"神奈川県横浜市西区みなとみらい{n % 5 + 1}-{n % 9 + 1}",
        f"北京市朝阳区建国路{n}号", f"上海市浦东新区世纪大道{n}号{n % 20 + 2}楼", f"广东省深圳市南山区科技园路{n}号3栋{n + 200}室", f"台北市大安區忠孝東路四段{n}號5樓",
    ))  # fmt: skip


def _ko(rng: random.Random) -> str:
    n = rng.randrange(2, 190)
    return rng.choice((
        f"서울특별시 종로구 세종대로 {n}", f"서울시 강서구 화곡로 {n}길 {n % 30 + 1}, {n % 9 + 1}층", f"경기 수원시 영통구 광교중앙로 {n} 광교자이 {n + 100}동 {n + 300}호", f"부산 수영구 광안해변로 {n} 2층", f"강남구 역삼동 {n}-{n % 20 + 1} {n % 9 + 2}층", f"경남 김해시 내외중앙로{n}번길 {n % 40 + 1}-{n % 9 + 1} 가동 {n + 100}호",
        f"서울특별시강남구테헤란로{n}길{n % 30 + 1}", f"전남 여수시 돌산읍 우두리 {n}", f"[06236] 서울 강남구 테헤란로 {n}", f"경북 안동시 풍천면 하회리 산{n}번지", f"마포구 성미산로 {n}, 지하 1층", f"대전 유성구 대학로 {n} (궁동) 한밭빌라 {n + 100}호",
    ))  # fmt: skip


def _de_vat(rng: random.Random) -> str:
    return "DE" + pattern("1########")(rng)


def _luhn(head: str) -> str:
    return head + str(luhn.calc_check_digit(head))


def _pesel(rng: random.Random) -> str:
    head = f"{rng.randrange(50, 99)}{rng.randrange(1, 13):02d}{rng.randrange(1, 29):02d}{digits(rng, 4)}"
    return head + str(-sum(int(d) * w for d, w in zip(head, (1, 3, 7, 9, 1, 3, 7, 9, 1, 3), strict=True)) % 10)


def _bsn(rng: random.Random) -> str:
    while True:
        head = pattern("%#######")(rng)
        check = sum(int(d) * w for d, w in zip(head, range(9, 1, -1), strict=True)) % 11
        if check < 10:
            return head + str(check)


def _personnummer(rng: random.Random) -> str:
    nine = f"{rng.randrange(50, 99)}{rng.randrange(1, 13):02d}{rng.randrange(1, 29):02d}{digits(rng, 3)}"
    full = _luhn(nine)
    return rng.choice((f"{full[:6]}-{full[6:]}", f"19{full[:6]}-{full[6:]}"))


def _curp(rng: random.Random) -> str:
    head = (
        "".join(rng.choice("BCDFGMNPRST") for _ in range(1))
        + rng.choice("AEIO")
        + "".join(rng.choice("BCDGLMNPRST") for _ in range(2))
    )
    head += f"{rng.randrange(50, 99)}{rng.randrange(1, 13):02d}{rng.randrange(1, 29):02d}{rng.choice('HM')}{rng.choice(('DF', 'JC', 'NL'))}{''.join(rng.choice('BCDFGLMNPRST') for _ in range(3))}0"
    return head + curp.calc_check_digit(head)


def _sin(rng: random.Random) -> str:
    nine = _luhn(pattern("4#######")(rng))
    return rng.choice((f"{nine[:3]} {nine[3:6]} {nine[6:]}", f"{nine[:3]}-{nine[3:6]}-{nine[6:]}"))


def _tfn(rng: random.Random) -> str:
    while True:
        head = pattern("%#######")(rng)
        weights = (1, 4, 3, 7, 5, 8, 6, 9)
        for last in range(10):
            if (sum(int(d) * w for d, w in zip(head, weights, strict=True)) + last * 10) % 11 == 0:
                number = head + str(last)
                return f"{number[:3]} {number[3:6]} {number[6:]}"


def _handle(rng: random.Random) -> str:
    return "@" + rng.choice(
        (
            "anna.gross",
            "jan_kowalczyk",
            "minjun97",
            "the.real.tiago",
            "zoe_angstrom",
            "mkorourke88",
            "k.morimoto",
            "hagen_photo",
        )
    )


def _domain(rng: random.Random) -> str:
    return rng.choice(
        (
            "annagross.dev",
            "jankowalczyk.me",
            "erika-mustermann.de",
            "tiagonogueira.com.br",
            "castellan.fr",
            "hyunwoojeong.kr",
            "deirdre.io",
            "ruairikeane.ie",
            "beatrixoberhauser.at",
        )
    )


def _chars(alphabet: str, count: int) -> Maker:
    return lambda rng: "".join(rng.choice(alphabet) for _ in range(count))


def _keyed(prefix: str, alphabet: str, count: int) -> Maker:
    return lambda rng: prefix + _chars(alphabet, count)(rng)


_ALNUM = string.ascii_letters + string.digits
_HEX = "0123456789abcdef"


def _jwt(rng: random.Random) -> str:
    head, body, end = (_chars(f"{_ALNUM}_-", count)(rng) for count in (30, 60, 43))
    return f"eyJ{head}.eyJ{body}.{end}"


def _dob(rng: random.Random) -> str:
    d, m, y = rng.randrange(1, 29), rng.randrange(1, 13), rng.randrange(1945, 2012)
    month = (
        "January",
        "February",
        "March",
        "April",
        "May",
        "June",
        "July",
        "August",
        "September",
        "October",
        "November",
        "December",
    )[m - 1]
    return rng.choice(
        (
            f"{d:02d}/{m:02d}/{y}",
            f"{y}-{m:02d}-{d:02d}",
            f"{d} {month} {y}",
            f"{month} {d}, {y}",
            f"{d}.{m}.{y}",
            f"{d:02d}-{m:02d}-{y % 100:02d}",
            f"{month[:3]} {d}, {y}",
        )
    )


def _dob_ko(rng: random.Random) -> str:
    d, m, y = rng.randrange(1, 29), rng.randrange(1, 13), rng.randrange(1945, 2012)
    return rng.choice(
        (
            f"{y}년 {m}월 {d}일",
            f"{y}.{m:02d}.{d:02d}",
            f"{y % 100:02d}년 {m}월 {d}일",
            f"{y}-{m:02d}-{d:02d}",
            f"{y % 100:02d}{m:02d}{d:02d}",
        )
    )


MAKERS = {
    "person_full": lambda rng: rng.choice(_PEOPLE),
    "person_first": lambda rng: rng.choice(_PEOPLE).split(" ")[0],
    "person_last": lambda rng: _last(rng.choice(_PEOPLE)),
    "person_shouted": _shouted,
    "person_reversed": _reversed,
    "person_initials": _initials,
    "person_middle": _middle,
    "person_ko": lambda rng: rng.choice(_HANGUL),
    "person_kogiven": lambda rng: rng.choice([n for n in _HANGUL if len(n) == 3])[1:],
    "person_ja": lambda rng: rng.choice(_KANJI),
    "person_jalast": lambda rng: rng.choice(_KANJI)[:2],
    "person_zh": lambda rng: rng.choice(_HANZI),
    "person_zhlast": lambda rng: rng.choice(_HANZI)[0],
    "person_ru": lambda rng: rng.choice(_CYRILLIC),
    "person_el": lambda rng: rng.choice(_GREEK),
    "address_pl": _pl,
    "address_word": _word_number,
    "address_us": _us,
    "address_gb": _gb,
    "address_world": _world,
    "address_asia": _asia,
    "address_ko": _ko,
    "phone_ext": one_of("(415) %##-#### ext. ##", "+1 212-%##-#### x###", "020 7946 0### ext 4##", "030 %######-##", "+49 89 %#####-###", "415-%##-####, extension ###"),
    "phone_letters": one_of("1-800-FLOWERS", "1-800-GOT-JUNK", "1-888-CALL-NOW", "+1 800 MY APPLE"),
    "phone_wide": lambda rng: pattern("010-%###-####")(rng).translate(str.maketrans("0123456789-", "０１２３４５６７８９－")),
    "phone_any": one_of("+48 %## ### ###", "+39 3## #######", "+351 9## ### ###", "+55 11 9####-####", "+46 70-### ## ##", "+31 6 ########", "+91 98### #####", "+86-21-%###-####", "+852 %### ####", "+65 9### ####", "+61 4## ### ###", "+353 8# ### ####", "+41 79 ### ## ##", "+43 664 #######", "+420 7## ### ###", "+380 67 ### ####", "+7 916 ###-##-##", "+52 55 #### ####", "+972-52-###-####", "+234 803 ### ####"),
    "phone_local": one_of("(030) %######", "0664/%######", "079 ### ## ##", "06-########", "(11) 9####-####", "08-### ### ##", "22 %## ## ##", "06 %#######", "0212 %## ## ##", "98### #####", "416.%##.####", "(08) %### ####", "087 ### ####", "21 %## ## ##"),
    "phone_ko": one_of("010 %### ####", "010-%###-####", "공일공-%###-####", "02.%##.####", "053-%##-####", "(02)%##-####", "010.%###.####", "+82-(0)10-%###-####"),
    "email_odd": one_of("anna.gross+news@mail.example", "j_kowalczyk##@wp.pl", "erika@müller-example.de", "tiago.nogueira@uol.com.br", "k-morimoto@docomo.ne.jp", "hsu.ml@gmail.com", "info@castellan.example.fr", "MAREK@FIRMA.PL"),
    "email_hidden": one_of("anna.gross [at] web [dot] de", "jan(at)kowalczyk(dot)pl", "tiago AT uol DOT com DOT br", "erika.mustermann (@) gmx.net"),
    "id_pesel": _pesel,
    "id_bsn": _bsn,
    "id_se": _personnummer,
    "id_curp": _curp,
    "id_sin": _sin,
    "id_tfn": _tfn,
    "id_medicare": pattern("2### #####  #".replace("  ", " ")),
    "id_it": checked.codice_fiscale,
    "id_cpf": lambda rng: checked.cpf(rng),
    "id_cn": checked.chinese_id,
    "id_es": lambda rng: rng.choice((checked.spanish_dni(rng), checked.spanish_nie(rng))),
    "id_fr": checked.french_nir,
    "id_de": checked.steuer_id,
    "id_jp": checked.my_number_jp,
    "id_in": lambda rng: checked.grouped(checked.aadhaar(rng), 4),
    "id_pan": one_of("^^^P^####^"),
    "id_gb": one_of("JG ## ## ## A", "LM######C"),
    "id_us": one_of("4##-%#-%###", "XXX-XX-%###", "***-**-%###"),
    "id_kr": lambda rng: checked.grouped(checked.rrn(rng), 6, 7, mark="-"),
    "id_vat": lambda rng: rng.choice((_de_vat(rng), "ATU" + digits(rng, 8), "FR" + digits(rng, 11), "ESX" + digits(rng, 7) + "Z", "PL" + digits(rng, 10), "GB " + pattern("### #### ##")(rng))),
    "passport_any": one_of("C4F########".replace("########", "G#K#L#"), "X########", "ED#######", "AB#######", "%########", "G########", "YA#######", "MU#######"),
    "licence_any": one_of("D###-####-####", "WDLABC###DE", "I#######", "^#########", "##-##-######-##"),
    "plate_any": one_of("WA #####", "KR 1#2AB", "AB 123 CD", "FG-##-HJ", "B ^^ ####", "M:^^ ####", "ABC-12#", "GD ###^^"),
    "bank_iban": lambda rng: (lambda v: rng.choice((v, checked.grouped(v, 4), checked.grouped(v, 4).lower(), checked.grouped(v, 4, mark="-"))))(checked.plain_iban(rng)),
    "bank_account": one_of("########", "%#########", "##-##-## / ########", "%###-%###-##########"),
    "card_any": lambda rng: (lambda v: rng.choice((v, checked.grouped(v, 4), checked.grouped(v, 4, mark="."), checked.grouped(v, 4, mark="-"))))(checked.card(rng)),
    "url_domain": _domain,
    "url_profile": one_of("facebook.com/erika.mustermann.##", "x.com/jankowal##", "t.me/tiago_n##", "github.com/hyunwoo-jeong", "medium.com/@zoe.angstrom", "www.xing.com/profile/Erika_Mustermann", "youtube.com/@quirin_h", "instagram.com/anna.gross_##", "blog.naver.com/doyun##", "velog.io/@hajun##", "linktr.ee/benedetta"),
    "handle_any": _handle,
    "ip_six": one_of("2a02:8109:9c40:###:a1b2:c3d4:e5f6:####", "2001:0db8:85a3:0000:0000:8a2e:0370:7###", "fe80::1ff:fe23:4567:89##", "[2a00:1450:4001:8##::200e]:443", "::ffff:203.0.113.##"),
    "ip_four": one_of("203.0.113.%#", "84.1##.2.%#:8080", "10.0.%#.1/24"),
    "mac_any": one_of("3c:22:fb:##:##:##", "3C-22-FB-##-##-##", "3c22.fb##.####", "3C22FB##A#C#"),
    "coord_any": one_of("52.520##, 13.404##", "37.5665##, 126.9780##", "-33.8688##,151.2093##", "48°51'##\"N 2°21'0#\"E", "40.7128##° N, 74.0060##° W"),
    "secret_key": one_of(
        _keyed("sk-proj-", _ALNUM, 48), _keyed("sk-ant-api03-", _ALNUM, 60), _keyed("AKIA", "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567", 16), _keyed("ghp_", _ALNUM, 36), _keyed("github_pat_", _ALNUM, 60), _keyed("xoxp-123456789012-", _ALNUM, 30), _keyed("AIzaSy", _ALNUM, 33), _keyed("sk_live_", _ALNUM, 24),
        _keyed("rk_live_", _ALNUM, 24), _keyed("hf_", _ALNUM, 34), _keyed("glpat-", _ALNUM, 20), _keyed("npm_", _ALNUM, 36), _keyed("gsk_", _ALNUM, 52), _keyed("r8_", _ALNUM, 37), _keyed("dop_v1_", _HEX, 64), _keyed("SG.", _ALNUM, 22), _keyed("shpat_", _HEX, 32), _keyed("lin_api_", _ALNUM, 40), _keyed("pk_live_", _ALNUM, 24), _jwt,
    ),
    "secret_value": one_of("Xk9$mP2vQ!", "correct-horse-42", "Passw0rd!", "h4nsD4mpf", "s3cr3tPass#1", "Winter2024?"),
    "secret_hex": _chars(_HEX, 40),
    "dob_any": _dob,
    "dob_ko": _dob_ko,
    "dob_ja": lambda rng: f"{rng.randrange(1950, 2010)}年{rng.randrange(1, 13)}月{rng.randrange(1, 29)}日",
    "dob_zh": lambda rng: f"{rng.randrange(1950, 2010)}年{rng.randrange(1, 13)}月{rng.randrange(1, 29)}日",
    "phone_zh": one_of("138-####-####", "15# #### ####", "+86 139########"),
}  # fmt: skip
TEMPLATES = {
    "en": (
        # persons
        "NAME: {person_reversed}", "Name of Insured: {person_shouted}", "c/o {person_full}, third floor", "Attn: {person_full}", "attn. {person_full} (Accounts Payable)", "Dear {person_full}:", "Dear Ms {person_last},", "Ms. {person_last} is on leave.",
        "I have {person_full}'s laptop.", "See {person_initials} for the keys.", "Author: {person_initials}", "{person_middle} signed the form.", "Best,\n{person_first}", "Best,\n\n{person_full}\nSenior Account Manager", "-- \n{person_full}", "— {person_full}, Head of Support", "Sent by {person_full} on Monday",
        "| {person_full} | Sales | 2021 |", '"first_name": "{person_first}", "age": 41', '"lastName": "{person_last}"', '"customer": {"name": "{person_full}"}', '"customerName": "{person_full}"', "id,name,city\n1,{person_full},Leeds", "user={person_full} action=login",
        "2024-03-01 12:00:01 INFO login ok for user '{person_full}'", "# TODO({person_full}): remove this", "// written by {person_full}", "@author {person_full}", "Signed-off-by: {person_full} <x@example.org>", "Co-authored-by: {person_full} <x@example.org>", "From: {person_full} <{email_odd}>", "To: {person_full}; {person_full}",
        "Patient: {person_reversed}, seen today", "Witness: {person_shouted}", "I, {person_full}, hereby agree to the terms.", "My doctor, Dr. {person_last}, said to rest.", "This letter certifies that {person_full} was employed here.", "Customer {person_full} called twice.", "Passenger name: {person_shouted}", "between {person_full} and {person_full} (the Parties)",
        "hi my name is {person_full} and my order is late", "Hi, {person_first} here from accounting.", "this is {person_first}, calling about the flat", "Regards\n{person_full}", "thx, {person_first}", "Assigned to: {person_full}", "Interview with {person_full} at 3pm", "{person_full} wrote:\n> hello", "On Tue, 4 Mar 2025, {person_full} wrote:", "I went to school with {person_full} and {person_full}.",
        # phones
        "Call {phone_ext} between 9 and 5.", "Phone: {phone_ext}", "Dial {phone_letters} to order", "Tel. {phone_any}", "My whatsapp is {phone_any}", "{phone_any} is my new number", "mobile: {phone_local}", "Phone {phone_local}", "T {phone_any} | F {phone_any}", '"phone": "{phone_any}"', "tel:{phone_any}",
        # mail
        "Mail {email_odd}, please", "write {email_hidden}", "<{email_odd}>",
        # addresses
        "I live at {address_us}", "Ship to:\n{address_us}", "Address: {address_us}", "HQ is {address_word}.", "Office: {address_word}", "I moved to {address_gb}", "Send it to {address_gb}.", "Billing address:\n{address_gb}", "We stay at {address_world}", "Delivery address: {address_world}", "Her flat is at {address_pl}.", '"address": "{address_us}"',
        # ids
        "PESEL: {id_pesel}", "my BSN is {id_bsn}", "Swedish personal number {id_se}", "personnummer {id_se}", "CURP {id_curp}", "My SIN is {id_sin}", "SIN: {id_sin}", "TFN {id_tfn}", "Medicare card {id_medicare}", "his codice fiscale {id_it}", "CPF {id_cpf}", "Chinese ID: {id_cn}", "DNI/NIE: {id_es}", "INSEE number {id_fr}", "tax ID (Germany): {id_de}", "My Number {id_jp}", "Aadhaar no. {id_in}", "PAN {id_pan}", "NINO {id_gb}", "SSN ending {id_us}",
        "The field contained {id_curp}.", "value {id_it} rejected", "{id_cn} failed validation", "VAT ID: {id_vat}", "VAT no. {id_vat}", "Passport No: {passport_any}", "passport {passport_any} expires in May", "Driver's License: {licence_any}", "license no {licence_any}", "plate number {plate_any}", "my car's registration is {plate_any}",
        "IBAN {bank_iban}", "pay to {bank_iban} today", "Account no. {bank_account}", "acct {bank_account}", "Visa {card_any} exp 04/27", "card: {card_any}", "paid with {card_any}",
        # web
        "My site is {url_domain}", "see {url_domain}", "portfolio: {url_domain}", "follow me on {url_profile}", "{url_profile}", "my insta is {handle_any}", "Twitter: {handle_any}", "DM {handle_any} for details", "Telegram {handle_any}", "IP {ip_six}", "connection from {ip_six} refused", "client {ip_four}", "MAC {mac_any}", "mac address: {mac_any}", "My location is {coord_any}", "GPS: {coord_any}", "I live near {coord_any}",
        # secrets
        "key={secret_key}", "Authorization: Bearer {secret_key}", "export KEY='{secret_key}'", "use {secret_key} in the header", "password={secret_value}", "login: admin / password: {secret_value}", "DB_PASSWORD={secret_value}", "postgres://app:{secret_value}@db.internal:5432/x", "api_secret: {secret_hex}", "aws_secret_access_key = {secret_hex}", "\"client_secret\": \"{secret_hex}\"", "Pass: {secret_value}", "pwd {secret_value}", "mongodb+srv://root:{secret_value}@cluster0.example.net",
        # dates of birth
        "DOB: {dob_any}", "Date of birth: {dob_any}", "date of birth {dob_any}", "I was born on {dob_any}.", "my birthday is {dob_any}", "d.o.b. {dob_any}", "born {dob_any}, resident in Leeds", '"birth_date": "{dob_any}"', '"dateOfBirth": "{dob_any}"', "Birthdate: {dob_any}",
    ),
    "ko": (
        "{person_ko}님이 신청하셨습니다.", "{person_ko}씨한테 물어봐", "{person_ko}교수님께 메일 드렸어요", "{person_ko} 부장님 자리 비우셨어요", "저는 {person_ko}이라고 합니다", "제 이름은 {person_ko}입니다", "{person_ko}이랑 점심 먹었어", "{person_kogiven}이가 어제 전화했어", "{person_kogiven}아, 밥 먹었니?", "담당: {person_ko} 차장", "성명: {person_ko}", "이름 {person_ko} / 나이 34",
        "{person_ko} 올림", "고객명 | {person_ko} | 010", '"name": "{person_ko}"', "이름,부서\n{person_ko},영업팀", "안녕하세요 {person_ko}입니다.", "{person_ko}의 남편", "엄마 {person_ko}, 아빠 {person_ko}", "받는분 {person_ko}", "{person_ko}(만 34세)", "예금주 {person_ko}", "{person_ko}과장님오늘출근하셨나요", "To. {person_ko}", "보낸사람 : {person_ko}",
        "폰 {phone_ko}", "{phone_ko}번으로 연락 바랍니다", "연락처:{phone_wide}", "팩스 {phone_ko}", "주소 {address_ko}", "{address_ko}에서 만나요", "집은 {address_ko}야", "배송지: {address_ko}", "생년월일 {dob_ko}", "생년월일: {dob_ko}", "생일은 {dob_ko}이에요", "저는 {dob_ko}생입니다", "주민번호 {id_kr}", "여권번호 {passport_any}", "계좌 {bank_account}", "인스타 {handle_any}", "카카오톡 아이디 {handle_any}", "제 위치는 {coord_any}", "비번: {secret_value}", "출생 {dob_ko}",
    ),
    "de": (
        "Name: {person_reversed}", "Herrn {person_full}", "z. Hd. Frau {person_full}", "zu Händen {person_full}", "Sehr geehrte Frau Dr. {person_last},", "Mit freundlichen Grüßen\n\n{person_full}\nVertrieb", "i. A. {person_full}", "gez. {person_full}", "Viele Grüße, {person_first}", "Mein Chef {person_full} weiß Bescheid.", "Ich bin {person_full} aus Kiel.", "Frau {person_last} hat angerufen.", "Patientin: {person_full}, geb. {dob_any}", "geboren am {dob_any}", "Geburtsdatum: {dob_any}",
        "Tel.: {phone_any}", "Mobil {phone_local}", "Anschrift: {address_world}", "wohnhaft {address_world}", "Ich wohne in {address_pl}.", "USt-IdNr.: {id_vat}", "Steueridentifikationsnummer {id_de}", "Kfz-Kennzeichen {plate_any}", "Kontonummer {bank_account}", "Passwort = {secret_value}",
    ),
    "fr": (
        "Nom : {person_reversed}", "Monsieur {person_full}", "à l'attention de {person_full}", "Chère Madame {person_last},", "Cordialement,\n{person_full}", "Je soussigné {person_full} certifie", "Je soussignée, {person_full}, déclare", "Bien à vous\n{person_first}", "mon mari {person_first}", "né le {dob_any} à Lyon", "née le {dob_any}", "Date de naissance : {dob_any}", "Tél : {phone_any}", "J'habite {address_world}", "adresse : {address_world}", "mot de passe = {secret_value}", "N° SS {id_fr}",
    ),
    "es": (
        "Nombre: {person_reversed}", "Sr. D. {person_full}", "D.ª {person_full}", "A la atención de {person_full}", "Estimada Sra. {person_last}:", "Un saludo,\n{person_full}", "Mi jefe {person_full} dijo que sí", "mi hermana {person_first}", "nacido el {dob_any}", "Fecha de nacimiento: {dob_any}", "Tel. {phone_any}", "vivo en {address_world}", "Dirección: {address_world}", "DNI {id_es}", "clave: {secret_value}", "firmado: {person_full}",
    ),
    "it": (
        "Nome: {person_full}", "Gentile Sig.ra {person_last},", "Egregio Dott. {person_last}", "Cordiali saluti,\n{person_full}", "Mi chiamo {person_full}", "il sottoscritto {person_full}", "nato a Roma il {dob_any}", "Data di nascita: {dob_any}", "abito in {address_world}", "Tel. {phone_any}", "C.F. {id_it}",
    ),
    "pt": (
        "Nome: {person_full}", "Prezado Sr. {person_last},", "Atenciosamente,\n{person_full}", "Meu nome é {person_full}", "nascido em {dob_any}", "Data de nascimento: {dob_any}", "moro na {address_world}", "telefone {phone_any}", "CPF: {id_cpf}", "a minha irmã {person_first}", "eu, {person_full}, declaro",
    ),
    "pl": (
        "Nazywam się {person_full}", "Imię i nazwisko: {person_full}", "Szanowna Pani {person_last},", "Pan {person_full} dzwonił", "Z poważaniem,\n{person_full}", "Pozdrawiam\n{person_first}", "mieszkam na {address_pl}", "Adres: {address_pl}", "data urodzenia: {dob_any}", "urodzony {dob_any}", "tel. {phone_any}", "PESEL {id_pesel}", "hasło: {secret_value}",
    ),
    "ja": (
        "{person_ja}様", "{person_ja}さんに連絡してください。", "{person_jalast}さん、こんにちは", "氏名:{person_ja}", "担当:{person_ja}", "私は{person_ja}です。", "私の名前は{person_ja}です", "{person_jalast}部長が不在です", "お名前 {person_ja}", "株式会社サンプル {person_ja}様", "{person_jalast}先生", "宛先:{person_ja} 殿", "住所:{address_asia}", "生年月日:{dob_ja}", "電話 {phone_any}",
    ),
    "zh": (
        "我叫{person_zh}。", "{person_zh}先生您好", "{person_zh}女士", "姓名:{person_zh}", "联系人:{person_zh}", "我的名字是{person_zh}", "收件人:{person_zh}", "{person_zhlast}先生已经来了", "{person_zhlast}老师好", "地址:{address_asia}", "出生日期:{dob_zh}", "手机:{phone_zh}", "身份证号:{id_cn}", "{person_zh}经理在开会",
    ),
    "other": (
        "Меня зовут {person_ru}.", "С уважением,\n{person_ru}", "ФИО: {person_ru}", "Уважаемый {person_ru}!", "Мій номер {phone_any}", "Με λένε {person_el}.", "Όνομα: {person_el}",
    ),
}  # fmt: skip
NEAR_MISSES = {
    "en": (
        "NAME: unknown", "NINO", "What is a NINO?", "Ben Nevis is 1,345 m high.", "warm Ulm greetings", "Order ext. 22 cables", "May 5, 2024 is a Sunday.", "Was the battle born of 1815?", "Born in the USA is an album.", "The company was born on 4 April 1975.", "Albert's theory dates to 1905-06-30.", "meeting on 12/05/2024 at 10:00", "due date: 2024-05-12", "release date: May 3, 2021", "expiry 04/27", "Date: 2024-01-31",
        "One Direction", "One Hundred Years of Solitude", "Two Way Street", "One way or another, Seattle wins.", "Ten Commandments Drive me mad", "@property\ndef x(self): ...", "@media (max-width: 600px)", "use @dataclass for it", "@Override public void run()", "npm i @types/node @babel/core", "@param name the name", "Hi @everyone and @here", "meet @ 7pm", "user@localhost", "decorate it with @lru_cache", "@app.route('/x')",
        "I use next.js and vue.js", "see config.yaml, main.dev and index.html", "string.format and os.path", "README.md", "e.g. this and i.e. that", "v2.io update", "asp.net core", "import numpy.random", "foo.bar.baz()", "self.name.first", "Cargo.toml", "Dr.Who", "Math.max(a, b)", "example.com", "localhost:8080",
        "2001: A Space Odyssey", "12:34:56", "::before and ::after", "std::move(x)", "a::b::c", "00:01:02", "aspect ratio 16:9", "x = 52.52, 13.4", "values 1.25, 3.50", "RGB 255, 128, 64", "vector (0.5, -0.25, 1.0)", "pi is 3.14159, e is 2.71828",
        "ISBN 978-3-16-148410-0", "DOI 10.1000/182", "commit 9fceb02d0ae598e95dc970b74767f19372d61af8", "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855", "550e8400-e29b-41d4-a716-446655440000", "order #123-4567890-1234567", "Invoice INV-2024-000123", "tracking 1Z999AA10123456784", "ticket JIRA-12345", "part no. 4711-0815", "Windows 10.0.19045.3803", "chrome/120.0.6099.109", "LOT 5531221", "EAN 4006381333931", "bin/python3.11",
        "token limit is 4096", "the key is under the mat", "max_tokens=2048", "password: required", "secret santa is fun", "api_key = os.environ['KEY']", "<your-api-key>", "sk-learn is a library", "password must have 8 characters", "pin 5 on the board", "passport photo size 35x45", "license: MIT", "plate of 12 oysters", "SIN(45) = 0.707", "PAN 3 cm wide", "VAT 19%", "account for 50% of it", "the BSN acronym", "TIN roof",
        "Manchester United 3-1 Leeds", "Lakers beat Celtics 112-108", "Djokovic won 6-4 7-6", "in the 100-metre dash", "score 21-15, 19-21", "The Beatles and The Who", "Led Zeppelin IV", "Guns N' Roses", "Who wrote Anna Karenina?", "Harry Potter and the Goblet of Fire", "Is Macbeth by Shakespeare?", "Steely Dan is a band", "Pink Floyd's The Wall", "Fleetwood Mac toured in 1977", "What is Alexa?", "Lake Louise is in Canada.", "Mount Elizabeth hospital", "Charlotte, North Carolina", "Paris, Texas is a film.", "Georgia is a country", "Sydney is large", "Florence in spring", "Victoria station", "San Diego weather", "Jordan borders Israel.", "Chelsea won the cup", "Austin, Texas",
        "April and May are mild", "June bug", "August heat", "Mercury and Venus", "Apache Cassandra vs Redis", "Ruby on Rails", "Python and Julia are languages", "Ada is a language", "Haskell Curry-Howard correspondence", "Django admin", "Pandas DataFrame", "Jupyter Notebook", "Gauss's law", "the Turing test", "Planck constant", "Fourier transform", "Nobel Prize", "Ford Fiesta", "Mercedes-Benz C-Class", "Tesla Model 3", "Johnson & Johnson", "Ben & Jerry's", "Ernst & Young", "Mary Kay Cosmetics", "Calvin Klein perfume", "Louis Vuitton bag", "Jack Daniel's", "Johnnie Walker", "Santa Claus", "Easter Bunny", "Uncle Ben's rice",
        "Dear Sir or Madam,", "Dear Customer Service Team,", "Best,\nThe Support Team", "Attn: Accounts Payable", "c/o Customer Care", "To: All Staff", "From: Billing Department", "Author: unknown", "Sent from my iPhone", "Kind Regards", "Yours faithfully", "Hi Team,", "Hi All,", "Hello World", "Dear Diary", "Patient: stable", "Name: n/a", "Name: Untitled Document", "user: admin", "Customer: ACME GmbH", "Contact: Sales", "first_name, last_name, email", '"first_name": null', '"name": "config-loader", "version": "1.2.3"', '"name": "New York"', "id,name,price\n1,Blue Widget,9.99", "| Product | Price |\n| Apple Juice | 2.50 |", "On Monday, we ship.", "On Tue, 4 Mar 2025 we met.", "TODO: remove this", "// written by hand",
        "12 Monkeys", "5 Star Hotel", "10 Downing of the shots", "100 Years War", "7 Days Drive away", "3 Doors Down", "21 Jump Street is a film", "24 Hour Road race", "route 66", "the 39 Steps", "50 Ways to leave", "Section 12 Court rules", "2 Main courses", "12 Angry Men", "4 Square meters", "chapter 3 Place names", "I need 2 Drive belts", "1 Way ticket",
        "call 911", "dial 112", "x + 5551234", "2024/05/12 10:22:31", "ratio 1-800-1", "3 000 000 people", "between 1914-1918", "100 200 300 400", "192.168.0.0/16 is private", "1.2.3.4.5", "GDP 21 433 226", "temperature -12.5", "population 8 336 817", "serial 88-1234-5678", "batch 2024-0512-33", "10:00-18:00", "+5 to attack", "+100 gold", "1+415-200",
        "T-Shirt XL", "Type 2 diabetes", "Wi-Fi 6", "IPv6 address", "USB-C", "COVID-19", "AK-47", "B-52", "BMW M3", "F-150", "iPhone 15 Pro", "RTX 4090", "GPT-4", "ISO 9001:2015", "DIN A4", "A4 Paper", "X1 Carbon", "747-8", "WD-40", "C4 plant",
    ),
    "ko": (
        "생일 축하해요", "생일 케이크 2호", "생년월일을 입력하세요", "1950년 6월 25일 전쟁이 났다", "2024년 3월 2일 개강", "이 장인은 유명하다", "김치찌개 2인분", "이순신 장군", "세종대왕", "한국은행 총재", "강남역 11번 출구", "버스 143번", "제주도 여행", "고추장 500g", "신용카드 결제", "박물관 관람", "최고 기온 35도", "정말 고마워요", "조금만 기다려", "오늘 회의", "문제 3번", "서울대학교", "유자차", "이메일 주소를 알려 주세요", "담당: 영업팀", "이름 없음", "성명: 미기재", "고객센터 운영시간 09:00-18:00",
        "상품번호 8801234567890", "운송장번호 123456789012", "2.5% 금리", "총 12,000원", "안드로이드 14", "갤럭시 S24", "아이폰 15", "삼성전자 주가", "현대자동차", "방탄소년단", "기생충은 영화다", "춘향전 줄거리", "홍길동전은 소설이다", "한라산 높이", "성산일출봉", "정동진역", "강아지가 귀엽다", "고양이 사료", "민주주의", "유치원 교사", "장마철 습도", "권장 사양", "임시 저장", "배송 조회", "주문 확인", "전화 주세요", "안내 말씀", "지하 1층 식당", "3동 앞", "10호선", "신분당선",
    ),
    "de": ("Sehr geehrte Damen und Herren,", "Mit freundlichen Grüßen\nIhr Serviceteam", "Bestellnummer 4711-0815", "Die Firma Müller Milch", "Frankfurt am Main", "Bad Homburg", "Neuschwanstein", "Der Mai ist warm.", "warme Grüße aus Ulm", "Rosenheim", "Karl-Marx-Stadt", "am 3. Oktober 1990", "der Film Lola rennt", "Die Ärzte sind eine Band", "Guten Morgen zusammen", "VW Golf", "§ 823 BGB", "Art. 5 DSGVO", "12 Uhr mittags", "Platz 3", "Weg 5 km", "Zimmer 12", "Max und Moritz", "Herr der Ringe", "Frau Holle ist ein Märchen", "geboren wurde die Idee 1999"),
    "fr": ("Madame, Monsieur,", "Cordialement,\nLe service client", "commande n° 2024-118", "Place de la Concorde", "Notre-Dame de Paris", "Saint-Tropez", "le 14 juillet 1789", "la tour Eiffel", "Les Misérables de Victor Hugo est un roman", "article 12", "Bonne journée", "le mont Blanc", "Jeanne d'Arc est une station"),
    "es": ("Estimados señores:", "Un saludo,\nEl equipo", "pedido 2024-118", "San Sebastián", "Santa Fe", "el 2 de mayo de 1808", "Don Quijote de la Mancha es una novela", "La Casa de Papel", "Buenos días", "la calle es larga", "Real Madrid", "Río de la Plata"),
    "it": ("Gentili signori,", "Cordiali saluti,\nIl team", "ordine 2024-118", "Piazza grande", "via libera", "San Marino", "La Divina Commedia", "Monte Rosa", "Buongiorno"),
    "pt": ("Prezados senhores,", "Atenciosamente,\nA equipe", "pedido 2024-118", "São Paulo", "Rio de Janeiro", "Bom dia", "Dom Casmurro é um romance"),
    "pl": ("Szanowni Państwo,", "Z poważaniem,\nZespół obsługi", "zamówienie 2024-118", "Dzień dobry", "Nowy Targ", "Pan Tadeusz to poemat", "ul. nieznana", "3 maja 1791"),
    "ja": ("お客様", "皆様", "ご担当者様", "神様", "王様", "お母さん", "皆さん", "先生", "東京タワー", "富士山", "名前は何ですか", "2024年5月12日", "注文番号 20240512", "氏名:未記入", "部長会議", "奥様", "田んぼ", "大阪城", "山本山は海苔の会社"),
    "zh": ("您好", "先生您好", "老师好", "各位同学", "姓名:未填", "北京市", "长江大桥", "2024年5月12日", "订单号 20240512", "张家界很美", "黄山", "王府井", "李子很甜", "高兴", "马上", "经理在开会", "周末愉快", "白先生是谁的歌?", "上海市很大"),
}  # fmt: skip
PART = Part(MAKERS, TEMPLATES, NEAR_MISSES)
