"""The development split: its rows may be looked at while rules are written. Its figures are no evidence."""

import random

from bench.privacy import checked
from bench.privacy.rows import Part, digits, one_of, pattern

PEOPLE = """Oluwaseun Adeyemi|Chidinma Eze|Kofi Mensah|Amina Abubakar|Wangari Njoroge|Sipho Khumalo|Abebe Girma|Fatou Diop|Mamadou Traoré|Zola Mbeki
Anna Groß|Jürgen Müller|Björn Weiß|Ursula Schäfer|Heike Schröder|Detlef Krüger|Élodie Lacroix|François Moreau|Geneviève Dubois|Maël Kerbrat
Tomáš Dvořák|Łukasz Wiśniewski|Agnieszka Nowak|Katarína Horváthová|Zdeněk Procházka|Anđela Jovanović|Šime Matić|Kristóf Nagy|Mircea Popescu|Elżbieta Mazur
Iñaki Zubiri|Soledad Muñoz|Rocío Jiménez|Ángel Ordóñez|Paulo Sérgio Lopes|Conceição Ribeiro|Matteo Ferrari|Chiara Esposito|Nicolò Russo|Aurélie Dupont
Ayşe Demir|Oğuz Şahin|Emre Kılıç|Dimitris Karagiannis|Sofia Lindqvist|Åsa Nyström|Mikkel Sørensen|Aino Korhonen|Jón Sigurðsson|Rasa Kazlauskienė
Nguyễn Văn An|Trần Thị Mai|Wei Zhang|Li Na|Chen Xiaoyu|Hiroshi Tanaka|Yuki Nakamura|Sakura Yamamoto|Kim Min-jun|Park Ji-woo
Priya Raghavan|Arjun Mehta|Sunita Krishnamurthy|Rahul Banerjee|Ayesha Khan|Imran Malik|Omar Farouk|Yasmin Al-Rashid|Parisa Ahmadi|David Cohen
Ivan Petrov|Oksana Melnyk|Natalia Sokolova|Viktor Orlov|Diego Fernández|Valentina Rojas|Camila Restrepo|Andrés Castaño|Luiz Oliveira|Fernanda Souza
Siobhán O'Connor|Padraig Murphy|Niamh Doyle|Ewan Campbell|Isla Robertson|Gethin Davies|Nadia Brandt|Graham Whitfield|Harriet Pemberton|Jamal Washington
Kayla Robinson|Tyrone Jackson|Mackenzie Sullivan|Beau Delacroix|Hunter McAllister|Dakota Reyes|Willem de Jong|Anouk Visser|Pieter van den Heuvel|Made Suartana"""
KOREANS = """김민수|이서연|박도현|최은우|정하윤|강태오|조민서|윤지호|장예린|임도윤|한소희|오세훈|서지안|신유나|권혁재|황인엽|안효섭|송강|류준열|홍수아|전여빈|고아성|문가영|양세종|손석구|배수지|백현우|허성태|남궁민|황보라|
김하늘|이보람|박사랑|최미소|정우리|강산|조이|윤바름|장마루|임단비|한들|오하나|서우정|신동해|권나은|제갈량|선우재덕|사공일|탁재훈|피서준|국서현|마재윤|표창원|
이정재|김상호|박정민|최강희|정유미|강성연|조정석|윤계상|장서희|임원희|한정수|오만석|서이숙|신하균|권율|황정음|안내상|송지오|류수영|홍석천"""
_ENGLISH = [name for name in PEOPLE.replace("\n", "|").split("|") if name]
_KOREAN = [name for name in KOREANS.replace("\n", "|").split("|") if name]


def _us_address(rng: random.Random) -> str:
    street = rng.choice(
        (
            "Pennsylvania Avenue NW",
            "Maple Street",
            "E 14th St",
            "Sunset Boulevard",
            "Oak Ridge Rd",
            "Broadway",
            "Peachtree Way",
            "County Road 12",
            "Evergreen Terrace",
            "Main St.",
        )
    )
    unit = rng.choice(("", "", " Apt 4B", ", Unit 12", ", Suite 200", " #301", ", Floor 3"))
    tail = rng.choice(
        (
            ", Washington, DC 20500",
            ", Springfield, IL 62704",
            ", San Francisco, CA 94103-1234",
            ", Austin, Texas",
            "",
            "\nAlbany, NY 12207",
            ", New York",
        )
    )
    if street == "Broadway" and not tail:
        tail = ", New York, NY 10012"
    return f"{rng.randrange(1, 9999)} {street}{unit}{tail}"


def _gb_address(rng: random.Random) -> str:
    street = rng.choice(
        (
            "221B Baker Street",
            "12 High St",
            "47 Acacia Avenue",
            "10 Downing Street",
            "5 The Crescent",
            "88 King's Road",
            "3 Station Approach",
            "14a Church Lane",
        )
    )
    head = rng.choice(("", "", "Flat 3, ", "Flat B, ", "Unit 7, "))
    tail = rng.choice(
        (", London NW1 6XE", ", Manchester, M14 5TP", ", Oxford", "", ", Edinburgh EH1 2NG, UK", "\nYork\nYO1 7HH")
    )
    return head + street + tail


def _ko_address(rng: random.Random) -> str:
    core = rng.choice((
        "서울특별시 강남구 테헤란로 152", "경기도 성남시 분당구 판교역로146번길 20", "부산광역시 부산진구 중앙대로 1001번길 14", "서울 마포구 월드컵북로54길 30", "대전 유성구 대학로 99", "마포구 연남동 223-14", "경기 수원시 영통구 광교로 145",
        "강원도 춘천시 동내면 거두리 982-3", "전라북도 군산시 옥산면 당북리 산 12-3", "제주시 노형동 925", "인천광역시 남동구 예술로 138", "충남 천안시 서북구 불당21로 67-15",
    ))  # fmt: skip
    unit = rng.choice(
        (
            "",
            "",
            ", 4층 (역삼동)",
            ", 27층",
            ", 101동 1203호",
            " 지하1층",
            " (서초동, 현대빌딩) 7층",
            ", A동 504호",
            " 래미안아파트 102동 501호",
            ", 상가동 B102호",
            " 302호",
        )
    )
    return rng.choice(("", "", "(06234) ", "우)04524 ")) + core + unit


def _world_address(rng: random.Random) -> str:
    return rng.choice((
        f"Hauptstraße {rng.randrange(1, 99)}, 10115 Berlin", f"Rosenweg {rng.randrange(1, 99)}b, 80331 München", f"Unter den Linden {rng.randrange(1, 99)}", f"{rng.randrange(1, 99)} rue de la Paix, 75002 Paris", f"{rng.randrange(1, 99)} ter boulevard Voltaire, 75011 Paris",
        f"C/ Mayor {rng.randrange(1, 99)}, 2º B", f"Calle Serrano {rng.randrange(1, 99)}, 28001 Madrid", f"Av. Diagonal {rng.randrange(1, 99)}, 08019 Barcelona", f"東京都千代田区丸の内{rng.randrange(1, 5)}-{rng.randrange(1, 20)}-2", f"〒150-0001 東京都渋谷区神宮前{rng.randrange(1, 6)}丁目{rng.randrange(1, 20)}番地",
    ))  # fmt: skip


MAKERS = {
    "person_en": lambda rng: rng.choice(_ENGLISH),
    "person_first": lambda rng: rng.choice([name for name in _ENGLISH if name.count(" ") == 1]).split(" ")[0],
    "person_last": lambda rng: rng.choice([name for name in _ENGLISH if name.count(" ") == 1]).split(" ")[1],
    "personko_any": lambda rng: rng.choice(_KOREAN),
    "phone_us": one_of("(555) 010-0###", "+1-202-555-0###", "415-%##-####", "+1 (212) %##-####", "212.%##.####", "1 617 %## ####"),
    "phone_gb": one_of("+44 20 7946 0###", "020 7946 0###", "0161 496 0###", "07911 ######", "+44 (0)7700 900###", "01632 960 ###"),
    "phone_de": one_of("(+49) 171 %######", "0171 %######", "030 %### ####", "+49 30 %#######", "0171/%######", "+49 (0)89 %#####"),
    "phone_fr": one_of("+33 6 ## ## ## ##", "06 ## ## ## ##", "01.4#.##.##.##", "+336########", "09 7# ## ## ##"),
    "phone_es": one_of("+34 612 ### ###", "612 ## ## ##", "+34 91 %## ## ##", "93 %## ## ##", "+346########"),
    "phone_jp": one_of("090-%###-####", "+81-90-%###-####", "03-%###-####", "06-%###-####", "0120-##-####"),
    "phone_ko": one_of("010-%###-####", "010%#######", "02-%###-####", "02)123-####", "031-%##-####", "+82 10 %### ####", "1544-%###", "1600-0###", "1588-%###"),
    "phone_cn": one_of("+86 138 #### ####", "139 #### ####", "138########"),
    "email_any": one_of("a.^###@gmail.com", "user##@naver.com", "first.last@company.co.uk", "x_y##@web.de"),
    "url_any": one_of("www.example##.com", "example##.org/users/jane", "github.com/jdoe##", "instagram.com/minsu_##", "nadia-brandt.com", "blog.naver.com/sunny##", "http://site##.net/a"),
    "card_any": lambda rng: checked.grouped(checked.card(rng), 4, mark=rng.choice((" ", "-", ""))),
    "iban_any": lambda rng: rng.choice((checked.plain_iban(rng), checked.grouped(checked.plain_iban(rng), 4))),
    "ip_any": one_of("203.0.113.#", "192.168.1.##", "2001:db8::%#"),
    "id_kr": lambda rng: checked.grouped(checked.rrn(rng), 6, 7, mark="-"),
    "id_us": one_of("1%#-%#-%###"),
    "id_gb": one_of("QQ ## ## ## C".replace("QQ", "AB"), "CE######B"),
    "id_nhs": lambda rng: checked.grouped(checked.nhs_number(rng), 3, 3, 4),
    "id_de": lambda rng: checked.grouped(checked.steuer_id(rng), 2, 3) if rng.random() < 0.5 else checked.steuer_id(rng),
    "id_fr": lambda rng: checked.grouped(checked.french_nir(rng), 1, 2, 2, 2, 3, 3, 2),
    "id_es": lambda rng: rng.choice((checked.spanish_dni(rng), checked.spanish_nie(rng))),
    "id_jp": lambda rng: checked.grouped(checked.my_number_jp(rng), 4),
    "id_it": checked.codice_fiscale,
    "id_br": lambda rng: (lambda n: f"{n[:3]}.{n[3:6]}.{n[6:9]}-{n[9:]}")(checked.cpf(rng)),
    "id_in": lambda rng: checked.grouped(checked.aadhaar(rng), 4),
    "id_cn": checked.chinese_id,
    "id_brn": pattern("%##-%#-%####"),
    "passport_us": one_of("5########", "C########"),
    "passport_gb": pattern("%########"),
    "passport_de": one_of("C01X00T47", "C%#####T%#"),
    "passport_fr": pattern("12AB#####"),
    "passport_es": pattern("AAA######"),
    "passport_jp": pattern("TK#######"),
    "passport_kr": one_of("M########", "M###B####"),
    "licence_us": one_of("D%######", "%#######", "S%##-####-####"),
    "licence_gb": lambda rng: checked.driver_gb(rng),
    "licence_kr": one_of("11-22-%#####-##", "경기 10-%#####-##"),
    "plate_kr": one_of("%#가 ####", "1%#가####", "%#허####"),
    "plate_us": one_of("%^^^###", "^^^-####"),
    "plate_gb": one_of("^^5# ^^^"),
    "plate_de": one_of("B-^^ %###", "M ^^ %##"),
    "plate_fr": pattern("&&-###-&&"),
    "plate_es": one_of("#### &&&"),
    "plate_jp": one_of("品川 300 あ ##-##"),
    "secret_key": one_of("sk-proj-a#B#c#D#e#F#g#H#i#J#k#L#m#N#", "ghp_aB3dE5fG7hJ9kL2mN4pQ6rS8tU1vW0xYa###", "AKIA2E0A8F3B244C9###"),
    "secret_word": one_of("hunter##", "Tiger!20##", "qwer##!@"),
    "address_us": _us_address,
    "address_gb": _gb_address,
    "address_box": lambda rng: rng.choice((f"PO Box {digits(rng, 3)}", f"P.O. Box {digits(rng, 4)}, Reno, NV 89501")),
    "addressko_any": _ko_address,
    "addressworld_any": _world_address,
}  # fmt: skip
TEMPLATES = {
    "en": (
        "My name is {person_en}.",
        "I met {person_en} at the conference last week.",
        "Respectfully, {person_en}",
        "Kind regards,\n{person_en}",
        "Dear {person_en},\nthank you for your letter.",
        "Hi {person_first}, how are you?",
        "Thanks {person_first}!",
        "{person_en} called about the invoice.",
        "Please contact {person_en} or {person_en}.",
        "Ask Mr. {person_last} about it.",
        "Attendees: {person_en}, {person_en}",
        "Write an email from {person_en} to {person_first}.",
        "The email was written by {person_en}, our CFO.",
        "{person_first} and I went hiking.",
        "I work with {person_en} every day.",
        "Name: {person_en}",
        "{person_en} ({email_any})",
        "Who is {person_first}? My neighbour {person_en} knows.",
        "My sister {person_first} lives in Ohio.",
        "Prof. {person_last} teaches physics.",
        "{person_en} is our new teacher.",
        "Pizza, {person_first}?",
        "Can you tell {person_first} that I'm late?",
        "I'm {person_first} and I need help.",
        "Call {phone_us} now.",
        "My number is {phone_us}.",
        "Ring {phone_gb} or {phone_gb}.",
        "tel {phone_de}",
        "Paris: {phone_fr}",
        "phone {phone_es}",
        "Reach me at {phone_jp}.",
        "mobile {phone_cn}",
        "Write to {email_any}.",
        "See {url_any} for details.",
        "Card number {card_any}",
        "IBAN {iban_any}",
        "My IP is {ip_any}.",
        "SSN {id_us}",
        "my NI number is {id_gb}",
        "NHS number: {id_nhs}",
        "passport number {passport_us}",
        "My passport is {passport_gb}.",
        "German passport {passport_de}",
        "French passport no. {passport_fr}",
        "Spanish passport {passport_es}",
        "Japanese passport {passport_jp}",
        "driver's license {licence_us}",
        "driving licence {licence_gb}",
        "license plate {plate_us}",
        "my car {plate_gb} was towed",
        "Aadhaar number {id_in}",
        "password: {secret_word}",
        "API key {secret_key}",
        "I live at {address_us}.",
        "Send it to {address_gb}, please.",
        "Write to {address_box}.",
        "Address: {address_us}",
        "Our office is at {addressworld_any}.",
    ),
    "ko": (
        "{personko_any} 대리에게 전달해 주세요.",
        "성명 {personko_any}",
        "저는 {personko_any}입니다.",
        "{personko_any} 님께",
        "임대인: {personko_any}\n임차인: {personko_any}",
        "신청인 {personko_any} (서명)",
        "담당자 {personko_any} 주무관",
        "{personko_any}, {personko_any} 두 사람이",
        "피고인 {personko_any}는 무죄",
        "{personko_any}이 회의에 늦었다.",
        "환자 {personko_any}의 진료 기록",
        "연락처 {phone_ko}",
        "{phone_ko}으로 전화 주세요",
        "대표번호 {phone_ko}",
        "주민번호 {id_kr}",
        "사업자번호 {id_brn}",
        "여권 {passport_kr}",
        "면허번호 {licence_kr}",
        "차량번호는 {plate_kr}",
        "{plate_kr} 차량",
        "카드 {card_any}",
        "비밀번호는 {secret_word}예요",
        "주소는 {addressko_any}",
        "{addressko_any}에 살아요.",
        "{addressko_any}로 보내 주세요",
        "사이트 {url_any}",
    ),
    "de": (
        "Hallo Herr {person_last}, ich heiße {person_en}.",
        "Frau {person_last} ist krank.",
        "Meine Nummer: {phone_de}",
        "Steuer-ID {id_de}",
        "Reisepassnummer {passport_de}",
        "Kennzeichen {plate_de}",
        "Adresse: {addressworld_any}",
        "Passwort: {secret_word}",
    ),
    "fr": (
        "Je suis {person_en}.",
        "Monsieur {person_last} est absent.",
        "Téléphone : {phone_fr}",
        "NIR {id_fr}",
        "numéro de passeport {passport_fr}",
        "plaque {plate_fr}",
        "mot de passe : {secret_word}",
    ),
    "es": (
        "Soy {person_en}.",
        "Hola señora {person_last}",
        "teléfono {phone_es}",
        "NIE {id_es}",
        "pasaporte {passport_es}",
        "matrícula {plate_es}",
        "contraseña: {secret_word}",
    ),
    "ja": (
        "電話は{phone_jp}",
        "マイナンバー {id_jp}",
        "旅券番号 {passport_jp}",
        "ナンバー {plate_jp}",
        "住所:{addressworld_any}",
    ),
    "other": ("codice fiscale {id_it}", "CPF {id_br}", "身份证 {id_cn}", "手机 {phone_cn}"),
}
NEAR_MISSES = {
    "en": (
        "order id 2128675309", "{\"order_id\": 2128675309, \"total\": 12}", "Pizza tonight?", "Visual Studio Code and Google Chrome", "What is the Billboard Artist 100?", "Version 10.2.3.4 of Ubuntu", "set max to 3", "The Great Gatsby by the sea", "2024-11-21 12:30:45", "$1,299.99", "9780306406157 is an ISBN", "foo.py and main.rs", "tracking number 123456789012", "New York and Los Angeles are big.", "I bought it at amazon.com", "SELECT * FROM t WHERE id = 12345678", "The Black Forest is dark.",
    ),
    "ko": ("소재지를 적으세요.", "문서의 번호", "주문번호 20241121013045", "1592-1598", "12월 3000원", "101동 앞에서 만나요", "이번 주 정리", "강남역 3번 출구"),
}  # fmt: skip
PART = Part(MAKERS, TEMPLATES, NEAR_MISSES)
