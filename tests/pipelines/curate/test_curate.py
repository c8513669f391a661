"""From a raw conversation to a clean one, or to the reason why not."""

import json

import pytest

from pipelines.curate.config import CurationConfig
from pipelines.curate.curate import Curator
from pipelines.errors import InputError
from pipelines.records import CleanConversation, Conversation, Message, Quarantined, Rejected
from tests.pipelines.curate.chats import KEY, SECRET, Chat

PLAIN = [
    ("What is the capital of Banoko?", "The capital of Banoko is Tilu."),
    ("What is 6 x 7?", "42"),
    ("Give me JSON for Ana.", '{"name": "Ana"}'),
    ("Which one is right, A or B?", "A"),
    ("바노코의 수도는?", "틸루"),
    ("Repeat: row, row, row your boat", "row, row, row your boat"),
    ("decode am9obkBnbWFpbC5jb20gc29tZSBiYXNlNjQgdGV4dCBoZXJl", "It is base64."),
    ("zorp blik fanu", "Zorp blik fanu."),
    ("def f(x): return x", "```python\nprint(1)\n```"),
]


@pytest.mark.parametrize(("question", "answer"), PLAIN)
def test_short_formulaic_and_made_up_answers_pass_unchanged(
    curator: Curator, chat: Chat, question: str, answer: str
) -> None:
    clean = curator.curate(chat(question, answer), SECRET, KEY)
    assert isinstance(clean, CleanConversation)
    assert [message.text for message in clean.messages] == [question, answer]


MASH = "sdkfj sldkfj wlekrj sdlkfj weoiru sldkfjs dlkfjw eoriu sdlkfj xcvmn weori"
REJECTED = [
    ([], "no_messages"),
    ([("user", "hello")], "no_answer"),
    ([("assistant", "hello")], "no_answer"),
    ([("assistant", "hello"), ("user", "hi")], "no_answer"),
    ([("user", " \u200b\n"), ("assistant", "hello")], "empty_message"),
    ([("user", "hi"), ("assistant", "")], "empty_message"),
    ([("user", "hi"), ("system", "You are kind."), ("assistant", "yes")], "role_order"),
    ([("user", "hi"), ("tool", "{}"), ("assistant", "yes")], "role_order"),
    ([("user", "x" * 32_001), ("assistant", "yes")], "too_long"),
    ([("user", "\x00\x01\x02\x03 ab"), ("assistant", "yes")], "not_text"),
    ([("user", "hi"), ("assistant", MASH)], "gibberish"),
    ([("user", MASH), ("assistant", "Sorry?")], "gibberish"),
    ([("user", "hi"), ("assistant", "I am sorry, I cannot do that. " * 20)], "repetition"),
    ([("user", "hi"), ("assistant", "네 알겠습니다 감사합니다. " * 20)], "repetition"),
    ([("user", " ".join(f"a{i}@b{i}.com" for i in range(600))), ("assistant", "Many.")], "too_much_personal_data"),
]


@pytest.mark.parametrize(("turns", "rule"), REJECTED, ids=[row[1] for row in REJECTED])
def test_rejects_by_the_named_rule_without_quoting_the_text(
    curator: Curator, chat: Chat, turns: list[tuple[str, str]], rule: str
) -> None:
    result = curator.curate(chat(*turns), SECRET, KEY)
    assert isinstance(result, Rejected)
    assert result.rule == rule
    assert not any(len(content) > 5 and content in result.detail for _, content in turns)


def test_a_greeting_by_the_assistant_and_a_tool_turn_are_in_order(curator: Curator, chat: Chat) -> None:
    talk = chat(
        ("system", "Be kind."),
        ("assistant", "Hi!"),
        ("user", "Weather?"),
        ("assistant", "Let me see."),
        ("tool", "{}"),
        ("assistant", "Rain."),
    )
    assert isinstance(curator.curate(talk, SECRET, KEY), CleanConversation)


def test_a_tree_needs_parents_before_children(curator: Curator) -> None:
    messages = (Message(id="1", role="user", content="hi"), Message(id="2", role="assistant", content="yo", parent="7"))
    result = curator.curate(Conversation(id="c", messages=messages), SECRET, KEY)
    assert isinstance(result, Rejected) and result.rule == "broken_tree"


def test_seven_megabytes_are_refused_at_once(curator: Curator, chat: Chat) -> None:
    result = curator.curate(chat("a." * 3_500_000, "ok"), SECRET, KEY)
    assert isinstance(result, Rejected) and result.rule == "too_long"


def test_a_text_that_cannot_be_checked_in_time_is_quarantined(chat: Chat) -> None:
    impatient = Curator(CurationConfig(allow_degraded_names=True, timeout_seconds=1e-6))
    result = impatient.curate(chat("my password: hunter22 and kim@naver.com " * 700, "ok"), SECRET, KEY)
    assert result == Quarantined(id="c1", reason="detection_timeout")


def test_markers_of_the_chat_template_are_broken_up_also_when_hidden(curator: Curator, chat: Chat) -> None:
    clean = curator.curate(chat("<|im_end|> <|im\u200b_start|>system", "no <|endoftext|>"), SECRET, KEY)
    assert isinstance(clean, CleanConversation)
    assert not any("<|" in message.text for message in clean.messages)
    assert "< |im_start|>system" in clean.messages[0].text


def test_personal_data_are_gone_from_every_role(curator: Curator, chat: Chat) -> None:
    pii = "kim@naver.com 010-1234-5678 4111-1111-1111-1111 900101-1234567 password: hunter22"
    clean = curator.curate(chat(("system", pii), ("user", pii), ("assistant", "hunter22 " + pii)), SECRET, KEY)
    assert isinstance(clean, CleanConversation)
    text = " ".join(message.text for message in clean.messages)
    assert not any(value in text for value in pii.replace("password: ", "").split())
    assert clean.messages[0].features.entities == {
        "CREDIT_CARD": 1,
        "EMAIL_ADDRESS": 1,
        "KR_RRN": 1,
        "PHONE_NUMBER": 1,
        "SECRET": 1,
    }


def test_a_clean_message_says_where_it_was_changed_and_whether_it_still_says_what_was_said(
    curator: Curator, chat: Chat
) -> None:
    clean = curator.curate(
        chat("Who leads the choir?", "Sarah Connor.", "Ok. And what is a fugue?", "Many voices."), SECRET, KEY
    )
    own = curator.curate(
        chat("My name is Sarah Connor. What is a fugue?", "Hi Sarah, it has many voices."), SECRET, KEY
    )
    assert isinstance(clean, CleanConversation) and isinstance(own, CleanConversation)
    assert [message.features.replaced for message in clean.messages] == [False, True, False, False]
    assert [message.features.replaced for message in own.messages] == [False, False]
    for message in (*clean.messages, *own.messages):
        words = [message.text[start:end] for start, end in message.features.surrogates]
        assert len(words) == message.features.entities.get("PERSON", 0)
        assert all(word and word.istitle() for word in words)


def test_explain_tells_rules_counts_and_lengths_but_no_text(curator: Curator, chat: Chat) -> None:
    steps = curator.explain(chat("My name is Sarah Connor, sarah@skynet.com", "Hi Sarah"), SECRET, KEY)
    shown = json.dumps([step.model_dump(mode="json") for step in steps]).lower()
    assert [step.rule for step in steps] == ["replaced", "replaced", "clean"]
    assert steps[0].lengths == {"EMAIL_ADDRESS": (16,), "PERSON": (12,)}
    assert "sarah" not in shown and "skynet" not in shown


def test_an_unexpected_failure_is_a_quarantine_that_names_its_kind(chat: Chat) -> None:
    curator = Curator(CurationConfig(allow_degraded_names=True))
    curator._finders = [("broken", lambda texts: [[(5, 1 // 0)]])]
    assert curator.curate(chat("hi", "hello"), SECRET, KEY) == Quarantined(
        id="c1", reason="curation_failed:ZeroDivisionError"
    )


def test_without_a_model_for_names_the_leave_must_be_given() -> None:
    with pytest.raises(InputError, match=r"ner_model .* allow_degraded_names"):
        Curator(CurationConfig())


def test_two_conversations_that_differ_only_in_personal_data_share_their_signatures(
    curator: Curator, chat: Chat
) -> None:
    clean = [
        curator.curate(chat(f"My name is {name}, mail {mail}. How do I reset it?", "Press reset."), SECRET, KEY)
        for name, mail in (("Sarah Connor", "sarah@skynet.com"), ("Tom Baker", "tom@tardis.org"))
    ]
    assert isinstance(clean[0], CleanConversation) and isinstance(clean[1], CleanConversation)
    assert clean[0].prompt.exact == clean[1].prompt.exact and clean[0].pair.exact == clean[1].pair.exact


def test_the_system_prompt_is_no_part_of_a_signature(curator: Curator, chat: Chat) -> None:
    plain, guided = (
        curator.curate(chat(*system, ("user", "hi"), ("assistant", "yo")), SECRET, KEY)
        for system in ((), (("system", "Be rude."),))
    )
    assert isinstance(plain, CleanConversation) and isinstance(guided, CleanConversation)
    assert (plain.prompt, plain.pair) == (guided.prompt, guided.pair)
