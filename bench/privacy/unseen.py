"""The test split: other names, other templates and other formats than the development split. Written before the rules
were changed; nobody looks at its rows, only at its figures."""

import random

from bench.privacy import checked
from bench.privacy.rows import Part, digits, one_of, pattern

PEOPLE = """Ngozi Okonjo|Babajide Olatunji|Yewande Akintola|Kwabena Boateng|Wanjiru Kamau|Tendai Moyo|Thandiwe Nkosi|Zanele Dlamini|Haile Tesfaye|Fikru Bekele
Amélie Rousseau|Thibault Lefèvre|Anaïs Garnier|Loïc Le Goff|Solène Marchand|Jörg Vogel|Käthe Böhm|Uwe Straßer|Anneliese Groß|Friedhelm Jäger
Íñigo Echeverría|Begoña Ibáñez|María José Núñez|Joaquín Peña|Graça Magalhães|João Gonçalves|Inês Simões|Žofia Kováčová|Jiří Novotný|Růžena Štěpánková
Łucja Dąbrowska|Zbigniew Wójcik|Małgorzata Kołodziej|Bartłomiej Zieliński|Dragoș Țurcanu|Ștefania Ionescu|Győző Szabó|Réka Kovács|Đorđe Petrović|Miloš Živković
Şebnem Yıldız|Çağlar Öztürk|Gökçe Aydın|İbrahim Çelik|Ólafur Þórðarson|Guðrún Jónsdóttir|Øyvind Håkonsen|Åse Bjørnstad|Søren Kjærgaard|Märta Sjöström
Nguyễn Thị Hạnh|Trần Quốc Bảo|Phạm Minh Đức|Lê Hoàng Yến|Xiaoming Zhao|Liang Jiahui|Wenjing Sun|Guo Zhenhua|Haruka Fujimoto|Kenjiro Matsuda
Ryosuke Ishikawa|Akane Kobayashi|Ji-hye Noh|Seung-woo Baek|Minjae Kwon|Siti Nurhaliza|Bambang Wijaya|Dewi Lestari|Somchai Rattanakosin|Malee Srisai
Venkatesh Iyer|Lakshmi Narayanan|Gurpreet Dhillon|Harpreet Sandhu|Farhana Chowdhury|Tanvir Rahman|Zainab Qureshi|Bilal Siddiqui|Nasrin Hosseini|Farhad Rezaei
Yitzhak Mizrahi|Shira Ben-David|Khalid Al-Mansour|Layla Haddad|Rania El-Sayed|Mustafa Al-Khatib|Aroha Ngata|Wiremu Parata|Leilani Kealoha|Kaimana Akana
Beatriz Cordeiro|Thiago Azevedo|Ximena Villarreal|Facundo Sosa|Guadalupe Zamora|Marisol Quintero|Olena Shevchenko|Taras Bondarenko|Svitlana Kravchuk|Dmitriy Volkov
Siobhán Ó Briain|Eoghan Mac Cárthaigh|Caoimhe Gallagher|Rhys Llewellyn|Angharad Pugh|Hamish MacGregor|Mhairi Sinclair|Desmond Featherstone|Philippa Ashworth|Cordelia Winslow
Jebediah Thornton|LaShonda Whitaker|DeAndre Booker|Marcellus Grady|Tamika Holloway|Clementine Beauregard|Wyatt Hutchins|Savannah Lockhart|Thaddeus Pruitt|Ainsley Kerrigan
Lars van der Berg|Femke de Vries|Joost van Dijk|Giancarlo Di Stefano|Fiammetta De Luca|Ludovica Bianchi|Panagiotis Papadopoulos|Eleftheria Nikolaou|Kalliope Stavrou|Tuomas Virtanen"""
KOREANS = """곽도경|노하람|백승엽|변소정|엄태준|연제혁|옥지안|우다현|위성재|육채린|인정우|임세련|전보라|정은결|진서호|차민결|천유림|추강민|편나율|표승기|하랑|허은솔|현도윤|황보민|제갈윤|남궁솔|선우진|독고영|서문탁|
김나라|이슬기|박한별|최바다|정보람|강가람|조아라|윤슬|장미르|임하늘|한빛나|오름|서이든|권로운|안다올|송가온|유리안|홍시아|문다온|신이솔|배시온|백로하|고은채|노다겸|류하임|심규빈|
김성주|이주원|박지원|최수정|정화영|강동원|조인성|윤정수|장보고|임수향|한지민|오연수|서장훈|권상우|안정환|송지효|유재석|홍진경|문소리|신동엽|배두나|고수|노홍철|류승범|심은하|구자철|남주혁|도경수|라미란|마동석"""
_ENGLISH = [name for name in PEOPLE.replace("\n", "|").split("|") if name]
_KOREAN = [name for name in KOREANS.replace("\n", "|").split("|") if name]
_CITIES_US = (
    ("Tulsa", "OK", "741"), ("Boise", "ID", "837"), ("Burlington", "VT", "054"), ("Mesa", "AZ", "852"),
    ("St. Paul", "MN", "551"), ("El Paso", "TX", "799"), ("Baton Rouge", "LA", "708"),
)  # fmt: skip
_TOWNS_GB = (
    ("Leeds", "LS6 #^^"), ("Cardiff", "CF10 #^^"), ("Norwich", "NR2 #^^"), ("Glasgow", "G12 #^^"), ("Bristol", "BS8 #^^"), ("Bath", "BA1 #^^"),
)  # fmt: skip
_STREETS = (
    "Juniper", "Old Mill", "Washington", "Rosemont", "Cherry Hill", "Kingfisher", "Saint James", "Elmhurst", "Cedar Creek", "Queen Anne",
)  # fmt: skip


def _us_address(rng: random.Random) -> str:
    city, state, zip_head = rng.choice(_CITIES_US)
    kind = rng.choice(("Trail", "Loop", "Blvd", "Court", "Parkway", "Ave", "Street", "Cove", "Ln", "Dr."))
    side = rng.choice(("", "", " NE", " SW", " South"))
    unit = rng.choice(("", "", ", Apt 12C", ", Suite 400", " #7", ", Unit B", "\nApt. 3"))
    tail = rng.choice(
        (
            f", {city}, {state} {zip_head}{digits(rng, 2)}",
            f", {city}, {state}",
            "",
            f"\n{city}, {state} {zip_head}{digits(rng, 2)}-{digits(rng, 4)}",
        )
    )
    return (
        f"{rng.randrange(2, 19999)} {rng.choice(('', 'N. ', 'West '))}{rng.choice(_STREETS)} {kind}{side}{unit}{tail}"
    )


def _gb_address(rng: random.Random) -> str:
    town, code = rng.choice(_TOWNS_GB)
    flat = rng.choice(("", "", "Flat 9, ", "Apartment 2B, ", "Unit 4, ", "Flat 3/2, "))
    kind = rng.choice(("Road", "Gardens", "Close", "Mews", "Rise", "High Street", "Terrace", "Crescent", "Vale"))
    tail = rng.choice(
        (
            f", {town} {pattern(code)(rng)}",
            f", {town}, {pattern(code)(rng)}",
            f", {town}",
            "",
            f"\n{town}\n{pattern(code)(rng)}",
        )
    )
    number = rng.choice(
        (
            str(rng.randrange(1, 250)),
            f"{rng.randrange(1, 90)}{rng.choice('ABC')}",
            f"{rng.randrange(1, 40)}-{rng.randrange(41, 60)}",
        )
    )
    return f"{flat}{number} {rng.choice(_STREETS)} {kind}{tail}"


def _box(rng: random.Random) -> str:
    city, state, zip_head = rng.choice(_CITIES_US)
    return rng.choice(
        (
            f"P.O. Box {rng.randrange(10, 9999)}, {city}, {state} {zip_head}{digits(rng, 2)}",
            f"PO Box {rng.randrange(10, 9999)}",
        )
    )


def _ko_address(rng: random.Random) -> str:
    place = rng.choice((
        "대구광역시 수성구 동대구로", "부산광역시 해운대구 센텀중앙로", "경기도 고양시 일산동구 정발산로", "인천 연수구 컨벤시아대로", "울산 남구 삼산로",
        "충청북도 청주시 흥덕구 가로수로", "전북특별자치도 전주시 완산구 홍산로", "경상남도 창원시 성산구 원이대로", "강원특별자치도 원주시 시청로", "세종특별자치시 한누리대로",
        "서울 송파구 위례성대로", "서울시 은평구 통일로", "제주특별자치도 서귀포시 중앙로", "광주 북구 첨단과기로",
    ))  # fmt: skip
    lot = rng.choice((
        "경기도 화성시 봉담읍 와우리", "전라남도 순천시 해룡면 신대리", "서울특별시 성북구 정릉동", "부산 사하구 괴정동", "경상북도 포항시 북구 흥해읍 초곡리", "충남 아산시 배방읍 장재리",
    ))  # fmt: skip
    head = rng.choice(("", "", "", "(우 16314) ", "[06236] "))
    if rng.random() < 0.3:
        core = f"{lot} {rng.choice(('', '산 '))}{rng.randrange(1, 900)}{rng.choice(('', f'-{rng.randrange(1, 40)}'))}{rng.choice(('', '번지'))}"
    else:
        core = (
            place
            + rng.choice(
                (
                    "",
                    f"{rng.randrange(2, 199)}번길",
                    f" {rng.randrange(2, 199)}번길",
                    f"{rng.randrange(2, 90)}길",
                    f"{rng.randrange(2, 90)}가길",
                )
            )
            + f" {rng.randrange(1, 600)}{rng.choice(('', '', f'-{rng.randrange(1, 30)}'))}"
        )
    unit = rng.choice((
        "", "", f", {rng.randrange(101, 130)}동 {rng.randrange(101, 2900)}호", f" {rng.randrange(2, 30)}층", f", 지하 {rng.randrange(1, 4)}층", f", B{rng.randrange(1, 4)}층 {rng.randrange(101, 190)}호",
        " 푸른마을아파트 304동 1502호", ", 한빛프라자 5층 502호", f", {rng.randrange(2, 20)}층 (도담동)", f" (상현동, 금호베스트빌) {rng.randrange(101, 110)}동 {rng.randrange(101, 999)}호", " 수정빌라 나동 302호", " 더샵센트럴시티 1204호",
    ))  # fmt: skip
    return head + core + unit


def _world_address(rng: random.Random) -> str:
    number, five = rng.randrange(1, 190), pattern("%####")(rng)
    return rng.choice((
        f"Lindenallee {number}, {five} Freiburg im Breisgau", f"An der Alten Mühle {number}a, {five} Kassel", f"Goethestr. {number}, {five} Leipzig", f"Am Stadtpark {number}, {five} Nürnberg", f"Bergstraße {number}",
        f"{number} avenue Victor Hugo, {five} Lyon", f"{number} bis, rue des Lilas, {five} Nantes", f"{number}, place de la République, {five} Lille", f"{number} chemin des Vignes, {five} Aix-en-Provence",
        f"Calle de Alcalá, {number}, 3º izda., {five} Madrid", f"Avda. de la Constitución {number}, {five} Sevilla", f"Paseo de Gracia, {number}, 2º 1ª, {five} Barcelona", f"Plaza Mayor {number}, bajo A, {five} Salamanca",
        f"東京都新宿区西新宿2-{number % 9 + 1}-1", f"大阪府大阪市北区梅田{number % 5 + 1}丁目{number % 9 + 1}番{number % 20 + 1}号", f"〒{pattern('%##-####')(rng)} 神奈川県横浜市中区本町{number % 6 + 1}-{number % 30 + 1}", f"京都市左京区吉田本町{number} コーポ桜201号室",
    ))  # fmt: skip


def _grouped_card(rng: random.Random) -> str:
    return checked.grouped(checked.card(rng), 4, mark=rng.choice((" ", "-", "", " ")))


MAKERS = {
    "person_en": lambda rng: rng.choice(_ENGLISH),
    "person_first": lambda rng: rng.choice([name for name in _ENGLISH if name.count(" ") == 1]).split(" ")[0],
    "person_last": lambda rng: rng.choice([name for name in _ENGLISH if name.count(" ") == 1]).split(" ")[1],
    "personko_any": lambda rng: rng.choice(_KOREAN),
    "phone_us": one_of("(2%#) %##-####", "+1 (6%#) %##-####", "1-8%#-%##-####", "3%#.%##.####", "+1.7%#.%##.####", "+1-202-555-01##", "(555) 010-0###", "9%# %##-####", "+17%#%##%###"),
    "phone_gb": one_of("020 7946 0###", "0113 496 0###", "(01632) 960###", "07700 900 ###", "+44 1632 960###", "+44 (0)117 496 0###", "0800 0##-####", "07700900###", "+44-7700-900###"),
    "phone_de": one_of("030/%#######", "0176-%#######", "(089) %### ####", "+49 (0)211 %######", "0049 171 %######", "+49-40-%#######", "0221 / %## ## ##", "04%#1 %#####"),
    "phone_fr": one_of("06.##.##.##.##", "01 %# ## ## ##", "07-##-##-##-##", "+33 (0)1 %# ## ## ##", "+33 7 %# ## ## ##", "0033 6 %# ## ## ##", "06########"),
    "phone_es": one_of("+34 6## ## ## ##", "+34 9%# ### ###", "6## ## ## ##", "91 %## ## ##", "0034 6## ### ###"),
    "phone_jp": one_of("03-%###-####", "080-%###-####", "+81 3-%###-####", "0120-###-###", "050-%###-####", "045-%##-####", "06(%###)####", "+81-70-%###-####"),
    "phone_ko": one_of("010-%###-####", "010.%###.####", "010 %### ####", "02-%##-####", "02)%###-####", "(031)%##-####", "+82-10-%###-####", "+82 2 %### ####", "070-%###-####", "0505-%##-####", "1588-%###", "1644-3###", "1899-4###", "1577 8###"),
    "phone_cn": one_of("13% #### ####", "+86 15% #### ####", "18%########"),
    "email_any": one_of("^.^###@mailhost.example", "info+##@firma-##.de", "contact_##@societe.fr", "j^##@univ.ac.kr", "k.^@co-op.org.uk", "hola##@tienda.es", "taro.##@kaisha.co.jp"),
    "url_any": one_of("www.gartenfreunde-###.de", "janes-bakery##.com", "linkedin.com/in/nadia-b##", "blog.studio##.co.kr/about", "portfolio-##.dev/cv.pdf", "https://example##.org/p?id=##", "twitter.com/kim_##", "mi-tienda##.es/contacto", "www.yamada##.co.jp", "cafe.naver.com/club##/1##", "t.me/user_##"),
    "card_any": _grouped_card,
    "card_amex": lambda rng: checked.grouped(checked.amex(rng), 4, 6, 5, mark=rng.choice((" ", "-", ""))),
    "iban_any": lambda rng: rng.choice((checked.plain_iban(rng), checked.grouped(checked.plain_iban(rng), 4))),
    "ip_any": one_of("8%.1##.%.%#", "10.2#.%#.1##", "2001:db8:%##:%#::%", "fe80::%a##:%%##:fe%#:%#b"),
    "id_kr": lambda rng: checked.grouped(checked.rrn(rng), 6, 7, mark=rng.choice(("-", "-", " - ", ""))),
    "id_us": one_of("2%#-%#-%###", "4%# %# %###"),
    "id_usplain": pattern("3%#%#%###"),
    "id_itin": pattern("9##-7#-%###"),
    "id_ein": pattern("12-%######"),
    "id_gb": one_of("AB ## ## ## C", "JK######D", "PX-##-##-##-A"),
    "id_utr": checked.british_utr,
    "id_nhs": lambda rng: checked.grouped(checked.nhs_number(rng), 3, 3, 4),
    "id_de": lambda rng: checked.grouped(checked.steuer_id(rng), 2, 3) if rng.random() < 0.5 else checked.steuer_id(rng),
    "id_stnr": one_of("%#/%##/%####", "%##/%###/%###"),
    "id_rvnr": pattern("65 1#0%6# B 00%"),
    "id_ausweis": pattern("L01X00T4#"),
    "id_fr": lambda rng: checked.grouped(checked.french_nir(rng), 1, 2, 2, 2, 3, 3, 2) if rng.random() < 0.6 else checked.french_nir(rng),
    "id_frtax": pattern("0# ## ### ### ###"),
    "id_es": lambda rng: rng.choice((checked.spanish_dni(rng), checked.spanish_nie(rng))),
    "id_esdash": lambda rng: checked.spanish_dni(rng)[:8] + "-" + checked.spanish_dni(rng)[8],
    "id_jp": lambda rng: checked.grouped(checked.my_number_jp(rng), 4) if rng.random() < 0.6 else checked.my_number_jp(rng),
    "id_it": checked.codice_fiscale,
    "id_br": lambda rng: (lambda n: f"{n[:3]}.{n[3:6]}.{n[6:9]}-{n[9:]}")(checked.cpf(rng)),
    "id_in": lambda rng: checked.grouped(checked.aadhaar(rng), 4),
    "id_cn": checked.chinese_id,
    "id_brn": pattern("%##-%#-%####"),
    "passport_us": one_of("%########", "A%#######"),
    "passport_gb": pattern("%########"),
    "passport_de": one_of("C01X0%T4#", "CF%##PJ#%"),
    "passport_fr": pattern("1%AV#####"),
    "passport_es": pattern("PA^######"),
    "passport_jp": pattern("TR#######"),
    "passport_kr": one_of("M########", "M###A####", "S########"),
    "licence_us": one_of("D#######", "%########", "F###-###-##-###-0", "S### #### ####"),
    "licence_gb": lambda rng: checked.driver_gb(rng),
    "licence_de": pattern("B072RR#2I5#"),
    "licence_fr": pattern("1#AA#####"),
    "licence_jp": pattern("30##########"),
    "licence_kr": one_of("11-##-%#####-%#", "서울 12-%#####-##", "28-1#-%#####-##"),
    "plate_kr": one_of("%#나 ####", "1%#호####", "3%#두 ####", "%#러####", "서울 %#바 ####"),
    "plate_us": one_of("%^^^###", "^^^-####", "^^^ ####"),
    "plate_gb": one_of("^^6# ^^^", "^^2# ^^^"),
    "plate_de": one_of("HH-^^ %###", "M-^^ %##", "KA ^ %###"),
    "plate_fr": pattern("&&-###-&&"),
    "plate_es": one_of("#### &&&", "####-&&&"),
    "plate_jp": one_of("品川 330 あ %#-##", "横浜 500 さ %#-##", "なにわ 300 つ ##%#"),
    "secret_key": one_of("sk-or-v1-#a#b#c#d#e#f#a#b#c#d#e#f#a#b#c#d#e#f#a#b", "ghp_^a^b#c^d#e^f#g^h#i^j#k^l#m^n#o^p#q^r#", "AKIA^^##^^##^^##^^##", "xoxb-%###########-%###########-a#B#c#D#e#F#g#H#i#J#k#L#", "glpat-^a#b^c#d^e#f^g#h^i#j", "AIzaSy^a#b-^c#d^e#f^g#h^i#j^k#l^m#n^o#", "hf_^a^b^c^d^e^f^g^h^i^j^k^l^m^n^o^p^q"),
    "secret_word": one_of("Sommer20##!", "tr0ub4dor##", "Zebra#$^##x", "p@ss-^a##kk", "hunde##Haus"),
    "secret_pin": pattern("####"),
    "address_us": _us_address,
    "address_gb": _gb_address,
    "address_box": _box,
    "addressko_any": _ko_address,
    "addressworld_any": _world_address,
}  # fmt: skip

TEMPLATES = {
    "en": (
        "I spoke with {person_en} about the delayed shipment and she was not pleased.",
        "{person_en} and {person_en} will be joining the call at four.",
        "The lease was signed by {person_en} in front of two witnesses.",
        "Best wishes,\n{person_en}\nRegional Sales Lead",
        "Respectfully yours,\n{person_en}",
        "Hey {person_first}, any chance you could swap shifts with me on Friday?",
        "Hello Mrs. {person_last}, your parcel could not be delivered.",
        "Could you introduce me to Dr {person_last} at the clinic?",
        "{person_first}'s birthday is coming up, what should I bake?",
        "Please draft a reference letter for {person_en}, who worked under me for six years.",
        "Employee: {person_en}\nDepartment: Finance\nStart date: 3 May",
        "According to {person_en}, the committee has not met since spring.",
        "My brother-in-law {person_first} says the gearbox is gone.",
        "Tenant: {person_en}; Guarantor: {person_en}",
        "Translate this: 'Good morning, Professor {person_last}'.",
        "Minutes: present were {person_en}, {person_en} and {person_en}.",
        "it's me, {person_first}. did you read what {person_first} wrote?",
        "The witness, {person_en}, declined to comment.",
        "You can reach {person_en} on {phone_us} until noon.",
        "Dial {phone_us} or {phone_gb} and ask for the duty officer.",
        "Fax {phone_gb}, mobile {phone_gb}.",
        "Our Munich desk answers on {phone_de}; Paris on {phone_fr}.",
        "Tokyo office: {phone_jp} / Madrid: {phone_es} / Seoul: {phone_ko}",
        "WhatsApp me on {phone_es} when you land.",
        "Her Shanghai mobile is {phone_cn}.",
        "Send the invoice to {email_any} with copy to {email_any}.",
        "My portfolio lives at {url_any}, have a look.",
        "Have you seen {url_any}? And {url_any}?",
        "Charge it to {card_any}, expiry 09/28.",
        "Amex {card_amex} was declined twice.",
        "Wire the deposit to {iban_any}, reference 4471.",
        "IBAN: {iban_any}\nBIC: DEUTDEFF",
        "Login attempts came from {ip_any} all night.",
        "Social Security No. {id_us} appears on the W-2.",
        "his social is {id_usplain}, please keep it private",
        "ITIN {id_itin}; employer's EIN {id_ein}",
        "National Insurance: {id_gb}",
        "The taxman wants my UTR, which is {id_utr}.",
        "NHS no {id_nhs} is printed on the letter.",
        "Passport {passport_us} was issued in Denver.",
        "British passport number {passport_gb}, valid to 2031.",
        "Her German passport ({passport_de}) and French passport ({passport_fr}) are both expired.",
        "Travel document: Spanish passport no. {passport_es}; Japanese passport: {passport_jp}",
        "Driver's license # {licence_us}, class C",
        "DVLA driver number {licence_gb}",
        "{licence_gb} is on my driving licence, is it safe to post?",
        "The other car's license plate was {plate_us}.",
        "Reg {plate_gb}, a silver Fiesta.",
        "A van with number plate {plate_gb} blocks my drive.",
        "Aadhaar {id_in} has to be linked to the bank account.",
        "the wifi password is {secret_word} btw",
        "export TOKEN={secret_key}",
        "Here is the key: {secret_key}. Why do I get 401?",
        "PIN: {secret_pin}",
        "Deliver to {address_us} before Tuesday.",
        "I've just moved to {address_gb} and need broadband.",
        "Mailing address: {address_box}",
        "Home: {address_us}",
        "Can a courier pick up at {address_gb} tomorrow?",
        "The crash happened outside {address_us}.",
        "Ship from {addressworld_any} by Monday.",
    ),
    "ko": (
        "{personko_any} 과장이 어제 보낸 견적서를 다시 확인해 달라고 했어요.",
        "신청인 {personko_any}\n생년월일 1987. 3. 2.",
        "성명: {personko_any} / 연락처: {phone_ko}",
        "위 임차인 {personko_any}는 보증금의 반환을 청구한다.",
        "{personko_any}님, 예약이 확정되었습니다.",
        "제 이름은 {personko_any}이고 부산에 살아요.",
        "대표이사 {personko_any} (인)",
        "참석자: {personko_any}, {personko_any}, {personko_any}",
        "원고 {personko_any}, 피고 {personko_any}",
        "고마워요. {personko_any} 드림",
        "담임 {personko_any} 선생님께 드릴 편지를 써 줘.",
        "수취인은 {personko_any}입니다.",
        "{personko_any} 씨가 {personko_any} 씨에게 빌려준 돈",
        "위임인 {personko_any}(주민등록번호 {id_kr})은 아래와 같이 위임합니다.",
        "긴급 연락은 {phone_ko}로 주세요.",
        "고객센터 {phone_ko} (평일 9시~18시)",
        "주민등록번호 {id_kr}",
        "사업자등록번호: {id_brn}",
        "여권번호 {passport_kr} 유효기간 확인해 주세요.",
        "운전면허번호는 {licence_kr}입니다.",
        "차량번호 {plate_kr} 주차 위반 신고합니다.",
        "{plate_kr} 차주분 차 좀 빼 주세요.",
        "카드번호 {card_any}로 결제했는데 취소가 안 돼요.",
        "와이파이 비번은 {secret_word}이에요",
        "주소: {addressko_any}",
        "{addressko_any}으로 배송해 주세요.",
        "소재지 {addressko_any}",
        "저희 집은 {addressko_any}입니다.",
        "홈페이지는 {url_any} 이에요.",
        "메일은 {email_any}로 부탁드려요",
        "접속 IP {ip_any}에서 로그인했습니다.",
    ),
    "de": (
        "Mein Name ist {person_en} und ich habe eine Frage.",
        "Sehr geehrte Frau {person_last}, vielen Dank für Ihre Nachricht.",
        "Herr {person_last} ruft unter {phone_de} zurück.",
        "Meine Steuer-ID lautet {id_de}.",
        "Steuernummer: {id_stnr}",
        "Rentenversicherungsnummer {id_rvnr}",
        "Personalausweisnummer: {id_ausweis}",
        "Reisepass Nr. {passport_de}",
        "Führerscheinnummer {licence_de}",
        "Das Kennzeichen {plate_de} wurde gesehen.",
        "Ich wohne in der {addressworld_any}.",
        "Das Passwort lautet {secret_word}",
        "Rückruf bitte: {phone_de}",
    ),
    "fr": (
        "Je m'appelle {person_en} et j'habite ici.",
        "Bonjour Madame {person_last}, avez-vous reçu mon dossier ?",
        "Appelez-moi au {phone_fr} après 18 h.",
        "Mon numéro de sécurité sociale est le {id_fr}.",
        "Numéro fiscal : {id_frtax}",
        "Passeport n° {passport_fr}",
        "Permis de conduire {licence_fr}",
        "Véhicule immatriculé {plate_fr}",
        "Adresse : {addressworld_any}",
        "Le mot de passe est {secret_word}",
    ),
    "es": (
        "Me llamo {person_en} y necesito ayuda.",
        "Estimado señor {person_last}: le escribo por la factura.",
        "Mi móvil es {phone_es}, llámame.",
        "DNI: {id_es}",
        "Con NIE {id_es} y DNI {id_esdash}",
        "Pasaporte {passport_es}",
        "La matrícula es {plate_es}.",
        "La contraseña es {secret_word}",
    ),
    "ja": (
        "電話番号は{phone_jp}です。",
        "マイナンバーは{id_jp}です。",
        "パスポート番号:{passport_jp}",
        "運転免許証番号 {licence_jp}",
        "車のナンバーは{plate_jp}です",
        "住所は{addressworld_any}です。",
        "パスワードは{secret_word}です",
    ),
    "other": (
        "Il mio codice fiscale è {id_it}.",
        "Meu CPF é {id_br}.",
        "我的身份证号码是{id_cn}。",
        "请打我手机{phone_cn}",
        "Mi chiamo {person_en}, piacere.",
    ),
}
NEAR_MISSES = {
    "en": (
        "Order 4410-2231-09 shipped; tracking 1Z999AA10123456784.", "Invoice 2024-118834 totals 1,204.50.", "Build 20.4.1187.33 fixed it, build 20.4.1188.1 broke it.",
        "ISBN 978-0-306-40615-7 and ISSN 2049-3630.", "The part number is 7421-A880-03.", "She ran 42.195 km in 3:58:12.", "See figure 3.14 and table 12-4.", "Pages 1012-1048, vol. 33.",
        "Coordinates 48.8566, 2.3522 and 51.5074 N.", "My build fails at utils.py line 221.", "case 22-1044 was dismissed", "The population grew from 1800 to 1900 by 12 percent.", "Between 1588-1648 there were many wars.",
        "UUID 6ba7b810-9dad-11d1-80b4-00c04fd430c8", "git show 4b825dc642cb6eb9a060e54bf8d69288fbee4904", "SKU 88213-442-1190 is out of stock", "Ticket #5558123-22 was closed.", "Model WH-1000XM5 versus QC45", "A Boeing 787-9 and an Airbus A350-1000",
        "Flight BA 2490 boards at gate 12.", "Room 1204, floor 12, seat 14C", "Recipe: 200 g flour, 120 g butter, 2 eggs", "the ratio 1920:1080 is 16:9", "sum(range(10)) == 45", "x = 0b1010; y = 0xCAFEBABE", "Error 0x80070005 at 0x00007FF6", "RFC 7231 section 6.5.1", "port 8080 and 127.0.0.1",
        "Battery 3.7V 2200mAh 18650", "Lot 20240917-A, best before 09/2026", "He scored 21-19, 18-21, 25-23.", "Windsor Castle and Hyde Park are lovely.", "Is Visual Studio Code better than Sublime Text?", "Who wrote Pride and Prejudice?", "Pizza, pasta or salad?", "The Golden Gate Bridge is red.", "Mount Fuji is 3776 m high.",
        "Best Buy has a sale on Monday.", "Happy New Year, everyone!", "Will the Federal Reserve raise rates in March?", "Amazon Prime and Apple Music are subscriptions.", "React Native versus Flutter", "The Rolling Stones played in Hyde Park.", "Thanks, that was helpful.", "Dear Customer, your order is late.", "Dear Hiring Manager, I am writing to apply.", "Hi there, quick question.", "Good morning everyone", "Best regards from sunny Lisbon",
        "The North Sea and the Baltic Sea", "a 12 Volt Street lamp", "I walked 5 Blocks down Main", "The company was founded in 1999 in Palo Alto.", "Node.js 18.19.0 and asp.net core", "See README.md or setup.py", "I use socket.io and d3.js", "He ate 3 Big Macs on Route 66.", "Chapter 12 Closing Remarks", "the 2023 Grand Prix Drive", "Take 2 tablets twice a day.", "Set max to 10 and min to 1.", "My serial number is on the box.", "password policy requires 12 characters", "The pin is made of steel.",
    ),
    "ko": (
        "주문번호 2024112200193 배송 조회", "송장 번호는 551234567890입니다.", "소재지와 문서의 제출 기한을 확인해 주세요.", "1592-1598년 임진왜란", "3월 2일부터 12월 31일까지", "총 12가지 1500원짜리 메뉴", "제3조 제1항에 따라 계약한다.", "성명과 주소를 적어 주세요.", "고시 제2024-118호", "관리번호 A-2024-0091", "회의실 302호, 3층", "이 문서는 대외비입니다.", "버전 3.11.4로 올렸어요.",
        "한강은 서울을 지난다.", "세종대왕이 한글을 만들었다.", "전기요금은 34,500원입니다.", "임대차 계약서 양식을 보내 주세요.", "보증금은 5,000만 원으로 한다.", "신청인은 아래 서류를 제출한다.", "대리인 선임 신고서", "수신자 확인 바랍니다.", "이사 비용은 얼마예요?", "정보 보호를 위한 조치", "유지 관리 비용을 산정한다.", "지방 법원에 소장을 낸다.", "최근 정책의 변화", "한 가지 방법은 이렇습니다.", "강의 자료를 올려 주세요.", "위도 37.5, 경도 127.0", "2024. 11. 22. 접수", "접수번호 20241122-00031", "문의 사항은 게시판에 남겨 주세요.", "총 3개 동 120세대", "오전 9시부터 오후 6시까지",
    ),
    "de": ("Die Rechnung Nr. 2024-0045 ist offen.", "Am 12.03.2024 um 14:30 Uhr", "Der Artikel 4006381 kostet 12,99 Euro.", "Guten Tag, ich habe eine Frage.", "Paragraph 12 Absatz 3", "Die Straße ist lang."),
    "fr": ("La facture 2024-118 est payée.", "Rendez-vous le 12/03/2024 à 14 h 30.", "Bonjour, j'ai une question.", "Article 12-3 du code civil"),
    "es": ("El pedido 2024-00118 llega mañana.", "Son 1.234,56 euros.", "Hola, tengo una pregunta.", "Capítulo 12, página 104"),
    "ja": ("注文番号は2024112200です。", "2024年11月22日に届きます。", "税込12,800円です。"),
}  # fmt: skip
PART = Part(MAKERS, TEMPLATES, NEAR_MISSES)
