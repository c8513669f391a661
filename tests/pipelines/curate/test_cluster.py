"""What clusters and what only looks alike."""

import pytest

from pipelines.curate.cluster import BANDS, PERMUTATIONS, same_cluster, signature, similarity

KEY = b"k" * 32
LONG_EN = (
    "I am planning a trip for my family next spring and would like to know which museums in the old town are open on Mondays, "
    "how long the queues usually are in the morning, and whether children under ten pay anything at the door of the castle"
)
LONG_KO = (
    "다음 달에 가족과 함께 여행을 가려고 하는데 월요일에도 문을 여는 박물관이 어디인지, 아침에는 줄이 얼마나 긴지, 그리고 열 살 아래 아이도 "
    "성문에서 입장료를 내야 하는지 알려 주세요"
)

SAME = [
    ("请问北京今天的天气怎么样", "请问北京今天的天气怎么样吧"),
    (
        "请帮我写一封关于明天会议改期的邮件给我们的客户好吗谢谢",
        "请帮我写一封关于明天会议改期的邮件给我们的客户好吗谢谢你",
    ),
    ("明日の会議の時間を変更するメールを書いてください", "明日の会議の時間を変更するメールを書いてくださいね。"),
    ("What is the capital of Banoko?", "what is  the capital of banoko"),
    ("바노코의 수도는?", "바노코의 수도는"),
    ("My name is <PERSON>", "My name is <PERSON>!"),
    ("Is it open at 7:30?", "is it open at 7:30"),
    ("What is 3:4?", "What is 3 : 4?"),
    ("WHAT DOES US MEAN", "what does us mean"),
    (LONG_EN, LONG_EN.upper()),
    (LONG_EN, "Hello, " + LONG_EN + "? Thanks!"),
    (LONG_EN, "Could you please help? " + LONG_EN),
    (LONG_EN, LONG_EN.replace("which museums", "which small museums")),
    (LONG_KO, "안녕하세요. " + LONG_KO + " 감사합니다!"),
    (LONG_KO, LONG_KO.replace("가족과 함께", "가족과 다 함께")),
    ("Call <PERSON> at <PHONE_NUMBER>. " + LONG_EN, "Call <PERSON> at <PHONE_NUMBER> please. " + LONG_EN),
]

DIFFERENT = [
    ("你明天去北京参加那个关于人工智能的国际学术会议", "你明天去北京参加那个关于人工智能的国际学术会议吗"),
    ("我同意把这台服务器今天晚上重新启动然后升级系统", "我不同意把这台服务器今天晚上重新启动然后升级系统"),
    ("请告诉我从上海到北京的高铁票现在的价格是多少钱", "请告诉我从上海到南京的高铁票现在的价格是多少钱"),
    ("明日の会議の時間を変更するメールを書いてください", "明日の会議の時間を変更するメールを書かないでください"),
    ("酒吧在哪里", "酒在哪里"),
    ("What is the capital of Banoko?", "What is the capital of Tilu?"),
    ("What is 12 + 7?", "What is 12 - 7?"),
    ("What is 12 + 7?", "What is 12 + 8?"),
    ("What is 3.5 x 2?", "What is 35 x 2?"),
    ('{"name": "Ana"}', '{"name": "Bob"}'),
    ("바노코의 수도는?", "틸루의 수도는?"),
    ("1", "2"),
    ("", "a"),
    (LONG_EN, LONG_EN.replace("ten", "12")),
    (LONG_EN + " on day 14", LONG_EN + " on day 15"),
    (LONG_EN, LONG_EN + " in Banoko"),
    (LONG_EN.replace("castle", "castle of Banoko"), LONG_EN.replace("castle", "castle of Tilu")),
    (LONG_EN.replace("castle", "castle of banoko"), LONG_EN.replace("castle", "castle of tilu")),
    (LONG_EN.replace("open", "closed"), LONG_EN),
    (LONG_EN, LONG_EN.replace("are open", "are not open")),
    (LONG_EN + " and sort them in ascending order", LONG_EN + " and sort them in descending order"),
    (LONG_EN + " from Seoul to Busan", LONG_EN + " from Busan to Seoul"),
    (LONG_EN + " from Seoul to Busan", LONG_EN + " to Seoul from Busan"),
    (LONG_EN.replace("how long", "how short"), LONG_EN),
    ("When " + LONG_EN, "Where " + LONG_EN),
    (LONG_EN + " <PERSON>", LONG_EN + " <PHONE_NUMBER>"),
    (LONG_EN, LONG_EN + ". Now write the whole answer as a poem of four lines about the sea and the wind"),
    (LONG_KO, LONG_KO.replace("열 살", "12살")),
    (LONG_KO.replace("박물관이", "틸루 박물관이"), LONG_KO.replace("박물관이", "바노코 박물관이")),
    (LONG_KO.replace("월요일", "화요일"), LONG_KO),
    (LONG_KO.replace("내야 하는지", "안 내야 하는지"), LONG_KO),
    (LONG_KO + " 서울에서 부산까지", LONG_KO + " 부산에서 서울까지"),
    (LONG_KO + " 서울에서 부산까지", LONG_KO + " 서울까지 부산에서"),
    (LONG_KO + " 언제", LONG_KO + " 어디"),
    ("What is .5 + .5?", "What is 5 + 5?"),
    ("What is 5!", "What is 5?"),
    ("How much is 5 MW in watts?", "How much is 5 mW in watts?"),
    ("How much is 5MW in watts?", "How much is 5mW in watts?"),
    ("What is 3 : 4?", "What is 3 4?"),
    ("What is 3·4?", "What is 3 4?"),
    ("What is 3 . 4", "What is 3, 4"),
    ("about ~5", "about 5"),
    ("What does US mean?", "What does us mean?"),
    ("?", "!"),
    (LONG_EN + " at 5 MW", LONG_EN + " at 5 mW"),
    (LONG_EN + " for the US", LONG_EN + " for us"),
    (LONG_EN + " and what is 5!", LONG_EN + " and what is 5"),
    (LONG_KO + " 3·4", LONG_KO + " 3 4"),
]

# One content word more: a copy to learn from, but another request.
ADDED = [
    (LONG_EN, LONG_EN.replace("which museums", "which small museums")),
    (
        "can you tell me whether it is safe to give my little dog some chocolate",
        "can you tell me whether it is safe to give my little dog some chocolate substitute",
    ),
    (
        "please write me a function that adds up all the numbers of a list",
        "please write me a function that adds up all the numbers of a list recursively",
    ),
    (LONG_KO, LONG_KO + " 영어로도"),
]


@pytest.mark.parametrize(("first", "second"), SAME)
def test_clusters(first: str, second: str) -> None:
    assert same_cluster(signature(first, KEY), signature(second, KEY))
    assert same_cluster(signature(second, KEY), signature(first, KEY))


@pytest.mark.parametrize(("first", "second"), DIFFERENT)
def test_does_not_cluster(first: str, second: str) -> None:
    assert not same_cluster(signature(first, KEY), signature(second, KEY))
    assert not same_cluster(signature(second, KEY), signature(first, KEY))


@pytest.mark.parametrize(("first", "second"), ADDED)
def test_an_added_word_is_forgiven_only_where_the_caller_allows_it(first: str, second: str) -> None:
    one, other = signature(first, KEY), signature(second, KEY)

    assert same_cluster(one, other) and not same_cluster(one, other, max_added=0)
    assert not same_cluster(other, one, max_added=0) and same_cluster(one, one, max_added=0)


def test_the_near_misses_are_alike_enough_that_only_content_words_part_them() -> None:
    long = [(signature(a, KEY), signature(b, KEY)) for a, b in DIFFERENT if len(a) > 60]
    assert sum(similarity(a, b) >= 0.7 for a, b in long) >= len(long) * 0.7


def test_short_texts_have_no_minhash_and_long_ones_have_all() -> None:
    short, long = (
        signature("one two three four five six seven eight nine ten eleven twelve", KEY),
        signature(LONG_EN, KEY),
    )
    assert (short.minhash, short.bands, short.content_words) == ((), (), ())
    assert (len(long.minhash), len(long.bands)) == (PERMUTATIONS, BANDS)
    assert all(0 <= value < 2**32 for value in long.minhash) and all(-(2**63) <= band < 2**63 for band in long.bands)


@pytest.mark.parametrize(
    ("text", "is_short"), [("가" * 29, True), ("가나다라마 " * 7, False), ("word " * 12, True), ("word " * 13, False)]
)
def test_korean_counts_characters_and_the_rest_counts_words(text: str, is_short: bool) -> None:
    assert (signature(text, KEY).minhash == ()) is is_short


def test_near_duplicates_meet_in_a_band() -> None:
    first, second = signature(LONG_EN, KEY), signature("Hello, " + LONG_EN, KEY)
    assert set(first.bands) & set(second.bands)


def test_another_key_gives_nothing_in_common() -> None:
    first, second = signature(LONG_EN, KEY), signature(LONG_EN, b"x" * 32)
    assert first.exact != second.exact and not set(first.bands) & set(second.bands)
    assert not set(first.content_words) & set(second.content_words) and similarity(first, second) < 0.1


def test_a_signature_holds_no_word_of_the_text() -> None:
    shown = signature(LONG_EN, KEY).model_dump_json()
    assert not any(word in shown for word in LONG_EN.split() if len(word) > 3)


def test_a_difference_behind_the_limit_of_content_words_still_counts() -> None:
    words = " ".join(f"w{chr(97 + i % 26)}{chr(97 + i // 26 % 26)}{chr(97 + i // 676)}" for i in range(2_000))
    assert not same_cluster(signature(words + " left", KEY), signature(words + " right", KEY))
    assert same_cluster(signature(words + " left", KEY), signature("Hello " + words + " left", KEY))


def test_a_text_known_by_what_its_hash_was_before_is_known(monkeypatch: pytest.MonkeyPatch) -> None:
    new = signature("请问北京今天的天气怎么样", KEY)
    with monkeypatch.context() as earlier:
        earlier.setattr("pipelines.curate.cluster._by_character", list)
        old = signature("请问北京今天的天气怎么样", KEY)
    assert new.former == old.exact != new.exact
    assert signature("What is the weather in Berlin today?", KEY).former == ""
