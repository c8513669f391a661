"""No planted structured identifier survives, whatever stands around it."""

import re
from collections.abc import Callable

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pipelines.curate.curate import Curator
from pipelines.records import CleanConversation, Conversation, Message
from tests.pipelines.curate.chats import KEY, SECRET

Disguise = Callable[[str], str]
digits = st.text("0123456789", min_size=4, max_size=4)


def luhn(prefix: str) -> str:
    total = sum(sum(divmod(int(d) * (2 - i % 2), 10)) for i, d in enumerate(prefix))
    return prefix + str(-total % 10)


emails = st.builds(
    "{}.{}@{}".format,
    st.sampled_from(["minsu", "j", "x_1"]),
    digits,
    st.sampled_from(["naver.com", "mail.corp", "uni.ac.kr"]),
)
phones = st.builds("010{0}{1}{0}{2}".format, st.sampled_from(["-", "", " ", "."]), digits, digits)
cards = st.builds(
    lambda a, b, c, s: s.join(re.findall("....", luhn("4" + a + b + c + "37"))),
    digits,
    digits,
    digits,
    st.sampled_from(["-", "", " "]),
)
rrns = st.builds("{:02d}0315-{}{:06d}".format, st.integers(30, 99), st.integers(1, 4), st.integers(0, 999_999))
keys = st.builds("sk-{}{}abcdefghijklmnop{}".format, digits, digits, digits)
values = st.one_of(emails, phones, cards, rrns, keys)
templates = st.sampled_from(
    [
        "{}",
        "Here it is: {}.",
        "{}입니다",
        "제 정보는 {}이고 비밀이에요",
        "({})",
        '"{}",',
        "a {} b {} c",
        "값={};",
        "{}\n{}",
        "연락처:{}로요",
        "🙂{}🙂",
        "`{}`",
    ]
)
disguises = st.sampled_from(
    [str, lambda v: v.translate({i: i + 0xFEE0 for i in range(0x21, 0x7F)}), lambda v: v[:3] + "\u200b" + v[3:]]
)


joints = st.sampled_from([" ", ", ", "\n", " / ", "; ", " and ", "이고 ", " - ", "|", "\t"])


@settings(max_examples=250, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(planted=st.lists(values, min_size=1, max_size=4), template=templates, joint=joints, disguise=disguises)
def test_no_planted_identifier_survives(
    curator: Curator, planted: list[str], template: str, joint: str, disguise: Disguise
) -> None:
    text = template.replace("{}", joint.join(disguise(value) for value in planted))
    messages = (
        Message(id="1", role="user", content=text),
        Message(id="2", role="assistant", content=f"ok {planted[0]}", parent="1"),
    )
    result = curator.curate(Conversation(id="c", messages=messages), SECRET, KEY)
    assert isinstance(result, CleanConversation)
    for message in result.messages:
        plain = re.sub(r"\W", "", message.text)
        assert not [value for value in planted if re.sub(r"\W", "", value) in plain]
