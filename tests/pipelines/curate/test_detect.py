"""Every kind of personal data: what is found, in which disguise, and what only looks like it."""

import pytest

from pipelines.curate import detect
from pipelines.curate.detect import Detector
from pipelines.curate.normalise import normalise
from pipelines.curate.recognizers.bounded import DetectionTimedOut
from tests.effort import within

FOUND = [
    # e-mail
    ("mail me at john.doe@gmail.com please", "EMAIL_ADDRESS", "john.doe@gmail.com"),
    ("minsu.kim@naver.com입니다", "EMAIL_ADDRESS", "minsu.kim@naver.com"),
    ("메일은kim@naver.com이에요", "EMAIL_ADDRESS", "kim@naver.com"),
    ("intern: kim@mail.corp", "EMAIL_ADDRESS", "kim@mail.corp"),
    ("KIM@MAIL.CO.KR, thanks.", "EMAIL_ADDRESS", "KIM@MAIL.CO.KR"),
    ("ｊｏｈｎ＠ｅｘａｍｐｌｅ．ｃｏｍ", "EMAIL_ADDRESS", "john@example.com"),
    ("jo\u200bhn@exam\u200bple.com", "EMAIL_ADDRESS", "john@example.com"),
    ("john＠gmail。com", "EMAIL_ADDRESS", "john@gmail.com"),
    ("john dot doe at gmail dot com", "EMAIL_ADDRESS", "john.doe@gmail.com"),
    ("john [at] gmail [dot] com", "EMAIL_ADDRESS", "john@gmail.com"),
    ("john (at) gmail.com", "EMAIL_ADDRESS", "john@gmail.com"),
    ("reach me: jane at gmail.com", "EMAIL_ADDRESS", "jane@gmail.com"),
    ("john@gmail . com", "EMAIL_ADDRESS", "john@gmail.com"),
    ("john @ gmail.com", "EMAIL_ADDRESS", "john@gmail.com"),
    ("jоhn@gmаil.com", "EMAIL_ADDRESS", "john@gmail.com"),
    ("john골뱅이naver.com", "EMAIL_ADDRESS", "john@naver.com"),
    ("kim골뱅이네이버닷컴", "EMAIL_ADDRESS", "kim@naver.com"),
    ("j o h n @ g m a i l . c o m", "EMAIL_ADDRESS", "john@gmail.com"),
    ("john@例え.jp", "EMAIL_ADDRESS", "john@例え.jp"),
    # telephone
    ("010-1234-5678이에요", "PHONE_NUMBER", "010-1234-5678"),
    ("01012345678로 전화 주세요", "PHONE_NUMBER", "01012345678"),
    ("010/1234/5678", "PHONE_NUMBER", "010/1234/5678"),
    ("010_1234_5678", "PHONE_NUMBER", "010_1234_5678"),
    ("010‑1234‑5678 and so on", "PHONE_NUMBER", "010-1234-5678"),
    ("０１０－１２３４－５６７８", "PHONE_NUMBER", "010-1234-5678"),
    ("010\u200b-1234-\u200b5678", "PHONE_NUMBER", "010-1234-5678"),
    ("٠١٠-١٢٣٤-٥٦٧٨", "PHONE_NUMBER", "010-1234-5678"),
    ("공일공 일이삼사 오육칠팔", "PHONE_NUMBER", "01012345678"),
    ("공1공-1234-5678", "PHONE_NUMBER", "010-1234-5678"),
    ("0 1 0 1 2 3 4 5 6 7 8", "PHONE_NUMBER", "01012345678"),
    ("010-0000-1234 is unassigned", "PHONE_NUMBER", "010-0000-1234"),
    ("+82 10-1234-5678", "PHONE_NUMBER", "+82 10-1234-5678"),
    ("사무실은 02-312-4567입니다", "PHONE_NUMBER", "02-312-4567"),
    ("(212) 867-5309", "PHONE_NUMBER", "(212) 867-5309"),
    ("212.867.5309", "PHONE_NUMBER", "212.867.5309"),
    ("call 2128675309 now", "PHONE_NUMBER", "2128675309"),
    ("+44 7700 900123", "PHONE_NUMBER", "+44 7700 900123"),
    ("07700 900123", "PHONE_NUMBER", "07700 900123"),
    ("+49 30 12345678", "PHONE_NUMBER", "+49 30 12345678"),
    # cards
    ("4111 1111 1111 1111", "CREDIT_CARD", "4111 1111 1111 1111"),
    ("카드는 4111-1111-1111-1111이고", "CREDIT_CARD", "4111-1111-1111-1111"),
    ("4111.1111.1111.1111", "CREDIT_CARD", "4111.1111.1111.1111"),
    ("4111\u200b111111111111", "CREDIT_CARD", "4111111111111111"),
    ("amex 3782 822463 10005", "CREDIT_CARD", "3782 822463 10005"),
    ("신용카드 5555-5555-5555-4445", "CREDIT_CARD", "5555-5555-5555-4445"),
    # Korean identifiers
    ("900101-1234567", "KR_RRN", "900101-1234567"),
    ("9001011234567", "KR_RRN", "9001011234567"),
    ("900101 - 1234567입니다", "KR_RRN", "900101 - 1234567"),
    ("주민번호 900101-1******", "KR_RRN", "900101-1******"),
    ("９００１０１－１２３４５６８", "KR_RRN", "900101-1234568"),
    ("외국인등록번호는 900101-5234567", "KR_RRN", "900101-5234567"),
    ("여권번호 M12345678", "KR_PASSPORT", "M12345678"),
    ("여권 M123A4567이에요", "KR_PASSPORT", "M123A4567"),
    ("면허 11-22-333333-44", "KR_DRIVER_LICENSE", "11-22-333333-44"),
    ("사업자등록번호 123-45-67890", "KR_BRN", "123-45-67890"),
    ("계좌번호는 110-123-456789입니다", "NATIONAL_ID", "110-123-456789"),
    ("신한은행 110-123-456789로 보내", "NATIONAL_ID", "110-123-456789"),
    # western identifiers
    ("ssn 536-22-8741", "US_SSN", "536-22-8741"),
    ("my ssn is 536228741", "US_SSN", "536228741"),
    ("NI number AB 12 34 56 C", "NATIONAL_ID", "AB 12 34 56 C"),
    ("GB29 NWBK 6016 1331 9268 19", "IBAN_CODE", "GB29 NWBK 6016 1331 9268 19"),
    ("my passport number is 533380006", "NATIONAL_ID", "533380006"),
    ("account number: 12345678", "NATIONAL_ID", "12345678"),
    ("マイナンバ-は 1234 5678 9018", "NATIONAL_ID", "1234 5678 9018"),
    ("NIE X1234567L", "NATIONAL_ID", "X1234567L"),
    ("Steuer-ID: 86 095 742 719", "NATIONAL_ID", "86 095 742 719"),
    ("Meine Steueridentifikationsnummer lautet 86 095 742 719.", "NATIONAL_ID", "86 095 742 719"),
    ("his DL is D1234567", "NATIONAL_ID", "D1234567"),
    ("passport no. C01X00T47", "NATIONAL_ID", "C01X00T47"),
    ("12가 3456 차량", "VEHICLE_PLATE", "12가 3456"),
    ("AB-123-CD", "VEHICLE_PLATE", "AB-123-CD"),
    ("고객센터 1588-1234", "PHONE_NUMBER", "1588-1234"),
    ("tel (+49) 171 9876543", "PHONE_NUMBER", "(+49) 171 9876543"),
    ("mi móvil es 612 345 678", "PHONE_NUMBER", "612 345 678"),
    ("see linkedin.com/in/nadia-b", "URL", "linkedin.com/in/nadia-b"),
    ("부산 부산진구 중앙대로 1001번길 14, 27층", "ADDRESS", "부산 부산진구 중앙대로 1001번길 14, 27층"),
    ("Flat 3, 12 High St, Oxford", "ADDRESS", "Flat 3, 12 High St, Oxford"),
    ("Hauptstraße 5, 10115 Berlin", "ADDRESS", "Hauptstraße 5, 10115 Berlin"),
    ("C/ Mayor 3, 2º B", "ADDRESS", "C/ Mayor 3, 2o B"),
    # in letters, behind a number, with a country's own check
    ("please call ext. 22", "PHONE_NUMBER", "ext. 22"),
    ("내선 302번입니다", "PHONE_NUMBER", "내선 302"),
    ("dial 1-800-FLOWERS", "PHONE_NUMBER", "1-800-FLOWERS"),
    ("value BOXW310820HNERXN09 rejected", "NATIONAL_ID", "BOXW310820HNERXN09"),
    ("640823-3234", "NATIONAL_ID", "640823-3234"),
    ("131052-308T", "NATIONAL_ID", "131052-308T"),
    ("85.07.30-033 28", "NATIONAL_ID", "85.07.30-033 28"),
    ("SSN ***-**-3978", "NATIONAL_ID", "***-**-3978"),
    ("VAT no. DE175455046", "NATIONAL_ID", "DE175455046"),
    ("tax ID (Germany): 86095742719", "NATIONAL_ID", "86095742719"),
    ("pay gb29 nwbk 6016 1331 9268 19 now", "IBAN_CODE", "gb29 nwbk 6016 1331 9268 19"),
    # dates of birth, accounts, places in degrees
    ("DOB: 03/07/1970", "BIRTH_DATE", "03/07/1970"),
    ('"dateOfBirth": "1985-10-14"', "BIRTH_DATE", "1985-10-14"),
    ("I was born on May 4th, 1988.", "BIRTH_DATE", "May 4th, 1988"),
    ("geb. 1.5.1973 in Kiel", "BIRTH_DATE", "1.5.1973"),
    ("née le 18 juin 1988", "BIRTH_DATE", "18 juin 1988"),
    ("생년월일 84년 8월 1일", "BIRTH_DATE", "84년 8월 1일"),
    ("저는 1985년 2월 26일생입니다", "BIRTH_DATE", "1985년 2월 26일"),
    ("生年月日:昭和48年5月1日", "BIRTH_DATE", "昭和48年5月1日"),
    ("my insta is @anna.gross", "USERNAME", "@anna.gross"),
    ("카톡 아이디 minjun97", "USERNAME", "minjun97"),
    ("thanks to @annagross", "USERNAME", "@annagross"),
    ("GPS: 52.52098, 13.40460", "COORDINATES", "52.52098, 13.40460"),
    ("40.712880° N, 74.006061° W", "COORDINATES", "40.712880° N, 74.006061° W"),
    ("mieszkam na ul. Marszałkowska 12/4, 00-590 Warszawa", "ADDRESS", "ul. Marszałkowska 12/4, 00-590 Warszawa"),
    ("bor på Drottninggatan 67, 111 51 Stockholm", "ADDRESS", "Drottninggatan 67, 111 51 Stockholm"),
    ("Vinohradská 1511/230, 100 00 Praha 10", "ADDRESS", "Vinohradská 1511/230, 100 00 Praha 10"),
    ("HQ: One Microsoft Way", "ADDRESS", "One Microsoft Way"),
    ("Two Embarcadero Center, San Francisco, CA", "ADDRESS", "Two Embarcadero Center, San Francisco, CA"),
    ("8795 SOUTH STATE STREET\nCHICAGO IL 60605", "ADDRESS", "8795 SOUTH STATE STREET\nCHICAGO IL 60605"),
    ("at 12 elm street, unit 4, denver, co 80203", "ADDRESS", "12 elm street, unit 4, denver, co 80203"),
    ("to Rose Cottage, Mill Lane, Ambleside LA22 9EF", "ADDRESS", "Rose Cottage, Mill Lane, Ambleside LA22 9EF"),
    ("D-80331 München, Leopoldstr. 5", "ADDRESS", "D-80331 München, Leopoldstr. 5"),
    ("sort code and account 18-35-26 / 39387457", "NATIONAL_ID", "18-35-26 / 39387457"),
    # network, web
    ("portfolio: annagross.dev", "URL", "annagross.dev"),
    ("see castellan.fr", "URL", "castellan.fr"),
    ("MAC 3C22FB17A9C3", "MAC_ADDRESS", "3C22FB17A9C3"),
    ("서버는 192.168.0.10입니다", "IP_ADDRESS", "192.168.0.10"),
    ("2001:db8:85a3::8a2e:370:7334", "IP_ADDRESS", "2001:db8:85a3::8a2e:370:7334"),
    ("00:1A:2B:3C:4D:5E", "MAC_ADDRESS", "00:1A:2B:3C:4D:5E"),
    ("https://ex.com/u/kim?id=3으로 가세요", "URL", "https://ex.com/u/kim?id=3"),
    ("https://docs.python.org/3/?user=kim", "URL", "https://docs.python.org/3/?user=kim"),
    ("https://kim@docs.python.org/3/", "URL", "https://kim@docs.python.org/3/"),
    ("see (http://kim.example.net/me).", "URL", "http://kim.example.net/me"),
    # addresses
    (
        "서울특별시 강남구 테헤란로 152, 101동 1203호에 살아요",
        "ADDRESS",
        "서울특별시 강남구 테헤란로 152, 101동 1203호",
    ),
    ("마포구 연남동 223-14에서", "ADDRESS", "마포구 연남동 223-14"),
    ("경기도 성남시 분당구 판교역로 235예요", "ADDRESS", "경기도 성남시 분당구 판교역로 235"),
    ("1600 Maple Avenue, Apt 4B, Springfield, IL 62704", "ADDRESS", "1600 Maple Avenue, Apt 4B, Springfield, IL 62704"),
    ("I live at 12 Baker Street, London NW1 6XE", "ADDRESS", "12 Baker Street, London NW1 6XE"),
    # secrets
    ("password: hunter22. ok", "SECRET", "hunter22"),
    ("비밀번호는 qwer1234예요", "SECRET", "qwer1234"),
    ("my pin is 4821", "SECRET", "4821"),
    ("인증번호 482913", "SECRET", "482913"),
    ("AKIAIOSFODNN7EXAMPLE", "SECRET", "AKIAIOSFODNN7EXAMPLE"),
    ("ghp_16C7e42F292c6912E7710c838347Ae178B4a", "SECRET", "ghp_16C7e42F292c6912E7710c838347Ae178B4a"),
    ("OPENAI_API_KEY=sk-abcdefghijklmnopqrstuvwx1234", "SECRET", "sk-abcdefghijklmnopqrstuvwx1234"),
    ('{"api_key": "9f8e7d6c5b4a"}', "SECRET", "9f8e7d6c5b4a"),
    ("Authorization: Bearer abcdef123456", "SECRET", "abcdef123456"),
    ("-----BEGIN RSA PRIVATE KEY-----\nMIIB\n-----END RSA PRIVATE KEY-----", "SECRET", None),
]

NOT_FOUND = [
    "Ten Commandments Drive me mad, One Direction, 7 Days Drive, 24 Hour Road race",
    "상품번호 8801234567890",
    "Order ext. 22 cables, x 3, and 1-800-1",
    "Mozart, geboren am 27. Januar 1756",
    "the battle of 1815, on May 4th, 2024",
    "생일 케이크 2호, 1950년 6월 25일 전쟁",
    "@property @dataclass @lru_cache @types/node @media (max-width: 600px) @param name @everyone",
    "values 1.2500, 3.5000 and pi 3.14159, 2.71828",
    "I live.in town, ok.no problem, main.dev and v2.io and next.js",
    "192.168.0.0/16 and 1.2.3.4.5",
    '{"order_id": 2128675309, "note": "call me"}',
    "order 2128675309, please call",
    "1588-1648",
    "In 2023 Grand Prix Drive was popular",
    "ASP.NET and socket.io",
    "look at google dot com",
    "I bought it at amazon.com",
    "@kim said hi, see you @ home",
    "What is 30123456 + 12345678?",
    "pi is 3.14159265358979",
    "2024-11-21 12:30:45, 2024.11.21 and 20241121013045",
    "1 2 3 4 5 6 7 8 9 10 11",
    "order 1234-5678-90 arrived in 2023-2024",
    "주문번호 20241121013045 확인",
    "version 1.2.3.4 of the library, v10.0.0.1",
    "127.0.0.1 and 0.0.0.0",
    "std::vector a::b 12:30:45 x[0:3]",
    "foo.py main.rs Node.js",
    "https://docs.python.org/3/library/re.html을 보세요",
    "이 동 10개, 그 길 3번 가 봤어",
    "서울에서 부산까지 325km예요",
    "회의는 3층 302호에서 해요",
    "I have 3 big Plans and 2 Dreams",
    "token = get_token(user)",
    "password is required",
    "the secret of happiness",
    "비밀번호를 잊어버렸어요",
    "1,234,567 dollars and 4.5e10 atoms",
    "4111 1111 1111 1112",
    "commit 3f786850e387550fdab836ed7e6dc881de23001b",
    "x = 1600 * 12 + 7 / 3",
    "The capital of Banoko is Tilu.",
    '{"name": "Ana", "age": 31, "ids": [1, 2, 3]}',
    "8시 30분부터 12시까지, 100-200-300",
]


@pytest.mark.parametrize(("text", "entity", "value"), FOUND)
def test_finds(detector: Detector, text: str, entity: str, value: str | None) -> None:
    spans = detector.find(text)
    assert [span.entity for span in spans] == [entity]
    assert spans[0].value == (text if value is None else value)


@pytest.mark.parametrize("text", NOT_FOUND)
def test_leaves_what_only_looks_like_personal_data(detector: Detector, text: str) -> None:
    assert detector.find(text) == []


@pytest.mark.parametrize(("text", "entity", "value"), [row for row in FOUND if row[2]])
def test_offsets_lead_back_to_the_original_text(detector: Detector, text: str, entity: str, value: str) -> None:
    padded = f"🙂 가나다 … {text} — ok"
    span = detector.find(padded)[0]
    shown = normalise(padded[span.start : span.end]).text
    assert shown == value or span.value == value
    assert padded[span.start : span.end] in text


def test_triggers_cost_no_finding(detector: Detector, monkeypatch: pytest.MonkeyPatch) -> None:
    texts = [row[0] for row in FOUND] + NOT_FOUND
    with_triggers = [detector.find(text) for text in texts]
    always = [entity for _, _, entity in (*detect._TRIGGERS, *detect._LOWER_TRIGGERS)] + ["NATIONAL_ID"]
    monkeypatch.setattr(detect, "_possible", lambda text: always)
    assert [detector.find(text) for text in texts] == with_triggers


HOSTILE = [
    "a." * 16_000,
    "1" * 32_000,
    "1-" * 16_000,
    "01 " * 10_000,
    "a@" * 16_000,
    "가로 " * 10_000,
    "http://a:" * 3_500,
    "token=" * 5_000,
    "eyJ" * 10_000,
    "A1 " * 10_000,
    "::" * 16_000,
    "1:" * 16_000,
    "12 A B C D " * 2_900,
    "john dot " * 3_500,
    "공" * 32_000,
    "- " * 16_000,
    "서울시 " * 8_000,
    "а" * 32_000,
    "Aa " * 10_000,
    "my name is " * 2_900,
    "curl -u " * 4_000,
    "a -at- b -dot- " * 2_100,
    "one " * 8_000,
    "_a1" * 10_600,
    'password="' * 3_200,
    "PuTTY-User-Key-File-1:Private-Lines:" * 880,
    "뒷자리 1" * 6_400,
]


@pytest.mark.parametrize("text", HOSTILE, ids=lambda text: text[:9])
def test_a_hostile_text_of_32_000_characters_is_checked_or_refused_in_bounded_time(
    detector: Detector, text: str
) -> None:

    def check() -> None:
        try:
            detector.find(text)
        except DetectionTimedOut as error:
            assert "took longer" in str(error)

    within(15, check)
