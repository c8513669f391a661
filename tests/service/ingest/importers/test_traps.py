"""What importers of other programs' files get wrong: each trap a row, imported for real and read back from the database."""

import json
from contextlib import closing
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from service.settings import Settings
from service.store.session import open_store
from service.vault import open_vault
from tests.service.ingest.importers import samples
from tests.service.ingest.importers.samples import BAD, BOILING, CALL, GOOD, HOT, TEA, TOOL, USER, node, write
from tests.service.ingest.importers.stored import imported, stored

ASKED = f"0 user: {TEA}"


class Trap(NamedTuple):
    """Files by name; the lines that are stored of them; what is refused and left out, by reason."""

    label: str
    files: dict[str, Any]
    lines: list[str]
    counts: dict[str, int] = {}
    user: str | None = "u-1"
    score: tuple[str, ...] = ("thumb",)
    up: tuple[str, ...] = ()
    answers: bool = True


def changed(whole: Any, *path: Any, **values: Any) -> Any:
    """The sample with other values in the object at this path."""
    place = whole
    for step in path:
        place = place[step]
    place.update(values)
    return whole


# ---- chats of programs ----------------------------------------------------------------------------------------

LIBRE = [
    ASKED,
    '1 < 0 assistant:  | think: Green, so not boiling. | call kettle({"cup": 2}) as call_7 | model mistral-7b',
    "2 < 1 tool: 75 | answers call_7 | named kettle",
    f"3 < 2 assistant: {HOT} | model mistral-7b",
    f"4 < 0 assistant: {BOILING} | model mistral-7b",
    "vote 4 down by u-1 | reason inaccurate",
    "vote 3 up by u-1 | reason clear_well_written | comment thanks",
]
FIRST, SECOND = (("messagesTree", 0, "children", at) for at in (0, 1))
LIBRECHAT = [
    Trap(
        "librechat: a tree with branches, a text in `content`, tags as key and as object",
        {"t.json": samples.librechat()},
        LIBRE,
    ),
    Trap("librechat: a flat file is the same chat", {"t.json": samples.librechat_flat()}, LIBRE),
    Trap(
        "librechat: failed and unfinished turns are told as such",
        {
            "t.json": changed(
                changed(samples.librechat(), *FIRST, error=True, content=[], text="no", feedback=None),
                *SECOND,
                unfinished=True,
                feedback=None,
            )
        },
        [
            ASKED,
            "1 < 0 assistant: no | model mistral-7b | error",
            f"2 < 0 assistant: {BOILING} | model mistral-7b | unfinished",
        ],
    ),
    Trap(
        "librechat: an error among the blocks, a picture, what only the page draws, an unknown block",
        {
            "t.json": changed(
                samples.librechat(),
                *FIRST,
                feedback=None,
                content=[
                    {"type": "agent_update", "agent_update": {}},
                    {"type": "activity_label", "label": "working"},
                    {"type": "text", "text": "Wait."},
                    {"type": "image_file", "image_file": {"file_id": "f-1"}},
                    {"type": "error", "error": "no such tool"},
                    {"type": "hologram"},
                ],
            )
        },
        [
            ASKED,
            "1 < 0 assistant: Wait. | dropped image | model mistral-7b | error",
            f"2 < 0 assistant: {BOILING} | model mistral-7b",
            "vote 2 down by u-1 | reason inaccurate",
        ],
        {"image_dropped": 1, "unknown_part": 1},
    ),
    Trap(
        "librechat: nobody is named, so somebody must say whose it is",
        {"t.json": samples.librechat()},
        [],
        {"no_user": 1},
        None,
    ),
    Trap(
        "librechat: one person a chat",
        {"t.json": samples.librechat()},
        [line.replace("u-1", "its person") for line in LIBRE],
        user="each",
    ),
    Trap(
        "librechat: a parent that is missing begins the chat",
        {"t.json": changed(samples.librechat_flat(), "messages", 0, parentMessageId="gone")},
        LIBRE,
        {"orphan": 1},
    ),
]


def gpt(*nodes: dict[str, Any], **chat: Any) -> list[dict[str, Any]]:
    """An export of one chat with these nodes."""
    return [
        {"conversation_id": "gpt-2", "create_time": 1790000000, "mapping": {one["id"]: one for one in nodes}, **chat}
    ]


TERMS = {"provider_terms": 1}
GPT = [
    f"{ASKED} | dropped image",
    f"1 < 0 assistant: {HOT} | think: It is green. | model gpt-y",
    f"2 < 0 assistant: {BOILING} | model gpt-y",
]
CHATGPT = [
    Trap(
        "chatgpt: no children, an order that says nothing, a hidden node, a picture, reasoning as a node of its own",
        {"conversations.json": samples.chatgpt()},
        GPT,
        {**TERMS, "image_dropped": 1},
    ),
    Trap(
        "chatgpt: a ZIP of shards with feedback, and a project among the chats",
        {"export.zip": samples.chatgpt_zip()},
        [*GPT, "vote 1 up by u-1 | comment just right"],
        {**TERMS, "image_dropped": 1, "not_a_chat": 1},
    ),
    Trap(
        "chatgpt: one person a chat, who gave its votes too",
        {"export.zip": samples.chatgpt_zip()},
        [*GPT, "vote 1 up by its person | comment just right"],
        {**TERMS, "image_dropped": 1, "not_a_chat": 1},
        "each",
    ),
    Trap(
        "chatgpt: ids are unique in a chat only",
        {
            "conversations.json": [
                *gpt(node("n1", None, "user", TEA), node("n2", "n1", "assistant", HOT)),
                *gpt(node("n1", None, "user", TEA), node("n2", "n1", "assistant", BOILING), conversation_id="gpt-3"),
            ],
            "message_feedback.json": [{"id": "n2", "conversation_id": "gpt-3", "rating": "thumbs_down"}],
        },
        [ASKED, f"1 < 0 assistant: {HOT}", ASKED, f"1 < 0 assistant: {BOILING}", "vote 1 down by u-1"],
        {"provider_terms": 2},
    ),
    Trap(
        "chatgpt: what is addressed to a tool is a call; hidden nodes and those of weight 0 are out, and bridged",
        {
            "conversations.json": gpt(
                node("n1", None, "user", TEA),
                node("n2", "n1", "assistant", {"content_type": "code", "text": "print(75)"}, recipient="python"),
                node(
                    "n3",
                    "n2",
                    "tool",
                    {"content_type": "execution_output", "text": "75"},
                    author={"role": "tool", "name": "python"},
                ),
                node("n4", "n3", "system", "a note to itself", weight=0.0),
                node("t1", "n4", "assistant", {"content_type": "thoughts", "thoughts": [{"content": "First."}]}),
                node("t2", "t1", "assistant", {"content_type": "thoughts", "thoughts": [{"content": "Then."}]}),
                node("n5", "t2", "assistant", HOT),
                node("n6", "n1", "assistant", {"content_type": "code", "text": '{"q": "tea"}'}, recipient="web.run"),
            )
        },
        [
            ASKED,
            '1 < 0 assistant:  | call python({"input": "print(75)"}) as n2',
            "2 < 1 tool: 75 | answers n2 | named python",
            f"3 < 2 assistant: {HOT} | think: First.\n\nThen.",
            '4 < 0 assistant:  | call web.run({"q": "tea"}) as n6',
        ],
        {**TERMS, "hidden": 1},
    ),
    Trap(
        "chatgpt: pages that were read, sound with its words, an answer that broke off, one that failed",
        {
            "conversations.json": gpt(
                node(
                    "n1",
                    None,
                    "user",
                    {
                        "content_type": "multimodal_text",
                        "parts": [
                            {"content_type": "audio_transcription", "text": TEA},
                            {"content_type": "audio_asset_pointer", "asset_pointer": "a"},
                        ],
                    },
                ),
                node(
                    "n2",
                    "n1",
                    "tool",
                    {"content_type": "tether_quote", "text": "Water at 75.", "url": "x"},
                    author={"role": "tool", "name": "browser"},
                ),
                node("n3", "n2", "assistant", "About", status="in_progress"),
                node("n4", "n2", "assistant", {"content_type": "system_error", "text": "failed"}),
            )
        },
        [
            f"{ASKED} | dropped audio",
            "1 < 0 tool: Water at 75. | named browser",
            "2 < 1 assistant: About | unfinished",
            "3 < 1 assistant: failed | error",
        ],
        {**TERMS, "audio_dropped": 1},
    ),
    Trap(
        "chatgpt: whoever may not train on the answers keeps them as context",
        {"conversations.json": samples.chatgpt()},
        [GPT[0], f"{GPT[1]} | not learnt", f"{GPT[2]} | not learnt"],
        {**TERMS, "image_dropped": 1},
        answers=False,
    ),
    Trap(
        "chatgpt: a circle of parents is refused, and the other chats come in",
        {
            "conversations.json": [
                *gpt(node("n1", "n2", "user", TEA), node("n2", "n1", "assistant", HOT)),
                *gpt(node("n1", None, "user", TEA), node("n2", "n1", "assistant", HOT), conversation_id="gpt-3"),
            ]
        },
        [ASKED, f"1 < 0 assistant: {HOT}"],
        {**TERMS, "cycle": 1},
    ),
    Trap(
        "chatgpt: a rating that is no thumb",
        {"message_feedback.json": [{"id": "n2", "conversation_id": "gpt-3", "rating": "so-so"}]},
        [],
        {"not_a_thumb": 1},
    ),
]
CLAUDE_LINES = [
    ASKED,
    '1 < 0 assistant:  | think: Not too hot. | call kettle({"cup": 2}) as tu-1',
    "2 < 1 tool: 75 | answers tu-1",
    f"3 < 2 assistant: {HOT}",
]
CLAUDE = [
    Trap(
        "claude: blocks with a tool's result in the answer; the account says whose it is",
        {"c.json": samples.claude()},
        CLAUDE_LINES,
        TERMS,
        None,
    ),
    Trap(
        "claude: a text alone, an attachment, a second answer beside the first",
        {
            "c.json": [
                {
                    "uuid": "claude-2",
                    "chat_messages": [
                        {
                            "uuid": "q",
                            "sender": "human",
                            "text": TEA,
                            "content": [],
                            "attachments": [{"file_name": "tea.txt", "extracted_content": "green"}],
                        },
                        {"uuid": "a", "sender": "assistant", "text": HOT, "parent_message_uuid": "q"},
                        {"uuid": "b", "sender": "assistant", "text": BOILING, "parent_message_uuid": "q"},
                    ],
                }
            ]
        },
        [f"{ASKED} | dropped file", f"1 < 0 assistant: {HOT}", f"2 < 0 assistant: {BOILING}"],
        {**TERMS, "file_dropped": 1},
    ),
    Trap(
        "claude: an empty chat is refused by name",
        {"c.json": [{"uuid": "claude-3", "chat_messages": []}]},
        [],
        {"no_messages": 1},
    ),
]
STORES = [
    Trap(
        "lmstudio: versions stay beside one another, the chat goes on behind the selected one; the system prompt is a setting",
        {"1.conversation.json": samples.lmstudio()},
        [
            "0 system: Be short.",
            f"1 < 0 user: {TEA}",
            f"2 < 1 assistant: {HOT} | think: Not too hot. | model phi-4",
            f"3 < 1 assistant: {BOILING} | model phi-4",
            "4 < 2 user: And black tea?",
        ],
    ),
    Trap(
        "lmstudio: an answer that its reader stopped, and one that failed",
        {
            "1.conversation.json": changed(
                changed(
                    samples.lmstudio(),
                    "messages",
                    1,
                    "versions",
                    0,
                    "steps",
                    1,
                    genInfo={"stats": {"stopReason": "userStopped"}},
                ),
                *("messages", 1, "versions", 1, "steps", 0),
                genInfo={"stats": {"stopReason": "failed"}},
            )
        },
        [
            "0 system: Be short.",
            f"1 < 0 user: {TEA}",
            f"2 < 1 assistant: {HOT} | think: Not too hot. | model phi-4 | unfinished",
            f"3 < 1 assistant: {BOILING} | model phi-4 | error",
            "4 < 2 user: And black tea?",
        ],
    ),
    Trap(
        "llamacpp: the message that all come from has no line; two answers are branches",
        {"c.jsonl": samples.llamacpp()},
        [ASKED, f"1 < 0 assistant: {HOT}", f"2 < 0 assistant: {BOILING}"],
    ),
    Trap(
        "llamacpp: two chats in a file, the second without a message, and a message of nobody's chat",
        {
            "c.jsonl": [
                *samples.llamacpp(),
                {"type": "session", "id": "llama-2"},
                {"type": "message", "message": {"convId": "x", "id": "y", "role": "user"}},
            ]
        },
        [ASKED, f"1 < 0 assistant: {HOT}", f"2 < 0 assistant: {BOILING}"],
        {"no_chat": 1, "no_messages": 1},
    ),
    Trap(
        "ollama: thinking, a call with its result beside it, an attachment, an answer that still streams",
        {"db.sqlite": samples.ollama()},
        [
            ASKED,
            "1 < 0 assistant: " + HOT + ' | think: Ask the kettle. | call kettle({"cup": 2}) as 2/0 | model qwen3:4b',
            "2 < 1 tool: 75 | answers 2/0 | named kettle",
            "3 < 2 user: And this cup? | dropped file",
            "4 < 3 assistant: It is | model qwen3:4b | unfinished",
        ],
        {"file_dropped": 1},
    ),
]

# ---- files for training ---------------------------------------------------------------------------------------

PAIR = [ASKED, f"1 < 0 assistant: {BOILING}", f"2 < 0 assistant: {HOT}", "better 2 than 1 by u-1"]
CALLED = [
    "0 system: Be short.",
    f"1 < 0 user: {TEA}",
    '2 < 1 assistant:  | call kettle({"cup": 2}) as c-1',
    "3 < 2 tool: 75 | answers c-1",
]
TRAINING = [
    Trap(
        "anthropic: a tool's result is a user's message, and what the user says beside it is one too",
        {"r.jsonl": samples.anthropic()},
        [
            "0 system: Be short.",
            f"1 < 0 user: {TEA}",
            '2 < 1 assistant:  | call kettle({"cup": 2}) as tu-2',
            "3 < 2 tool: 75 | answers tu-2",
            "4 < 3 user: Well?",
            f"5 < 4 assistant: {HOT}",
        ],
    ),
    Trap(
        "openai: weight 0 is no loss on that turn; a developer is the system; content may be null",
        {"sft.jsonl": samples.openai_chat()},
        [*CALLED, f"4 < 3 assistant: {BOILING} | not learnt", "5 < 4 user: Really?", f"6 < 5 assistant: {HOT}"],
    ),
    Trap("openai: a pair is a comparison of two branches", {"dpo.jsonl": samples.openai_pair()}, PAIR),
    Trap(
        "openai: pictures in parts",
        {
            "v.jsonl": [
                {
                    "messages": [
                        {
                            "role": "user",
                            "content": [
                                {"type": "text", "text": TEA},
                                {"type": "image_url", "image_url": {"url": "data:image/png;base64,AA"}},
                            ],
                        },
                        GOOD,
                    ]
                }
            ]
        },
        [f"{ASKED} | dropped image", f"1 < 0 assistant: {HOT}"],
        {"image_dropped": 1},
    ),
    Trap(
        "openai: calls from before there were several at once, and the function's answer",
        {
            "old.jsonl": [
                {
                    "messages": [
                        USER,
                        {"role": "assistant", "content": None, "function_call": CALL["function"]},
                        {"role": "function", "name": "kettle", "content": "75"},
                        GOOD,
                    ]
                }
            ]
        },
        [
            ASKED,
            '1 < 0 assistant:  | call kettle({"cup": 2}) as ',
            "2 < 1 tool: 75 | named kettle",
            f"3 < 2 assistant: {HOT}",
        ],
    ),
    Trap(
        "openai: Azure's tool messages in the outputs; what both begin with is the prompt",
        {
            "dpo.jsonl": [
                {
                    "input": {"messages": [USER]},
                    "preferred_output": [
                        {"role": "assistant", "tool_calls": [CALL]},
                        {"role": "tool", "tool_call_id": "c-1", "content": "75"},
                        GOOD,
                    ],
                    "non_preferred_output": [
                        {"role": "assistant", "tool_calls": [CALL]},
                        {"role": "tool", "tool_call_id": "c-1", "content": "75"},
                        BAD,
                    ],
                }
            ]
        },
        [
            ASKED,
            '1 < 0 assistant:  | call kettle({"cup": 2}) as c-1',
            "2 < 1 tool: 75 | answers c-1",
            f"3 < 2 assistant: {BOILING}",
            f"4 < 2 assistant: {HOT}",
            "better 4 than 3 by u-1",
        ],
    ),
    Trap(
        "openai: a row for reinforcement has no answer",
        {"rft.jsonl": [{"messages": [USER], "reference": 75}]},
        [],
        {"no_answer": 1},
    ),
    Trap(
        "openai: a pair that says the same twice",
        {"dpo.jsonl": [{**samples.openai_pair()[0], "non_preferred_output": [GOOD]}]},
        [],
        {"same_answers": 1},
    ),
    Trap(
        "sharegpt: tools in a text, calls and observations",
        {"s.json": samples.sharegpt()},
        [*(line.replace("as c-1", "as ").replace(" | answers c-1", "") for line in CALLED), f"4 < 3 assistant: {HOT}"],
    ),
    Trap(
        "sharegpt: reasoning before a call, several calls at once",
        {
            "s.jsonl": [
                {
                    "conversations": [
                        {"from": "human", "value": TEA},
                        {
                            "from": "function_call",
                            "value": '<think>\nBoth.\n</think>\n\n[{"name": "kettle", "arguments": {}}, {"name": "cup"}]',
                        },
                        {"from": "observation", "value": "75"},
                        {"from": "gpt", "value": HOT},
                    ]
                }
            ]
        },
        [
            ASKED,
            "1 < 0 assistant:  | think: Both. | call kettle({}) as  | call cup({}) as ",
            "2 < 1 tool: 75",
            f"3 < 2 assistant: {HOT}",
        ],
    ),
    Trap(
        "sharegpt: role and content under its name",
        {"s.json": [{"conversations": [USER, GOOD]}]},
        [ASKED, f"1 < 0 assistant: {HOT}"],
    ),
    Trap("sharegpt: a pair", {"s.jsonl": samples.sharegpt_pair()}, PAIR),
    Trap(
        "sharegpt: a label is a thumb, whoever `bing` is",
        {"s.json": samples.sharegpt_labelled()},
        [ASKED, f"1 < 0 assistant: {BOILING}", "vote 1 down by u-1"],
    ),
    Trap(
        "sharegpt: an unknown speaker",
        {"s.json": [{"conversations": [{"from": "parrot", "value": "Tea!"}]}]},
        [],
        {"unknown_role": 1},
    ),
    Trap(
        "alpaca: input behind the instruction, history before it",
        {"a.json": samples.alpaca()},
        [
            "0 system: Be short.",
            "1 < 0 user: Hello",
            "2 < 1 assistant: Hello, a cup?",
            "3 < 2 user: Give the temperature.\ngreen tea",
            f"4 < 3 assistant: {HOT}",
        ],
    ),
    Trap("alpaca: a pair", {"a.jsonl": [{"instruction": TEA, "input": "", "chosen": HOT, "rejected": BOILING}]}, PAIR),
    Trap(
        "alpaca: an empty answer", {"a.json": [{"instruction": TEA, "input": "", "output": " "}]}, [], {"no_answer": 1}
    ),
    Trap(
        "alpaca: a table",
        {"a.csv": b"instruction,input,output\nGive it.,,75\n"},
        ["0 user: Give it.", "1 < 0 assistant: 75"],
    ),
    Trap(
        "trl: the blank before a completion is not part of it",
        {"t.jsonl": samples.trl_completion()},
        [ASKED, f"1 < 0 assistant: {HOT}"],
    ),
    Trap("trl: a pair of messages", {"t.jsonl": samples.trl_pair()}, PAIR),
    Trap("trl: a pair of texts", {"t.jsonl": [{"prompt": TEA, "chosen": f" {HOT}", "rejected": f" {BOILING}"}]}, PAIR),
    Trap("trl: the prompt that is not named is what both begin with", {"t.jsonl": samples.trl_implicit()}, PAIR),
    Trap(
        "trl: of two texts too, up to the end of a word",
        {"t.jsonl": [{"chosen": "The tea is hot: about 75", "rejected": "The tea is hot: above 99"}]},
        ["0 user: The tea is hot:", "1 < 0 assistant: above 99", "2 < 0 assistant: about 75", "better 2 than 1 by u-1"],
    ),
    Trap(
        "trl: a label is a thumb",
        {"t.jsonl": samples.trl_labelled()},
        [ASKED, f"1 < 0 assistant: {BOILING}", "vote 1 down by u-1"],
    ),
    Trap(
        "trl: only the completion is learnt, not the answers in its prompt; columns of tools and template values",
        {
            "t.jsonl": [
                {
                    "prompt": [USER, BAD, USER],
                    "completion": [GOOD],
                    "tools": json.dumps([TOOL]),
                    "chat_template_kwargs": {"enable_thinking": False},
                }
            ]
        },
        [ASKED, f"1 < 0 assistant: {BOILING} | not learnt", f"2 < 1 user: {TEA}", f"3 < 2 assistant: {HOT}"],
    ),
    Trap(
        "trl: from and value",
        {"t.jsonl": [{"prompt": [{"from": "human", "value": TEA}], "completion": [{"from": "gpt", "value": HOT}]}]},
        [ASKED, f"1 < 0 assistant: {HOT}"],
    ),
    Trap(
        "trl: Parquet, with columns that a row leaves empty",
        {"t.parquet": samples.parquet([{**samples.trl_pair()[0], "completion": None, "label": None}])},
        PAIR,
    ),
    Trap(
        "trl: Parquet of chats",
        {"t.parquet": samples.parquet([{"messages": [USER, GOOD]}])},
        [ASKED, f"1 < 0 assistant: {HOT}"],
    ),
]

# ---- what watches models --------------------------------------------------------------------------------------

FUSED = [ASKED, f"1 < 0 assistant: {BOILING} | model llama-3"]


def fused(**values: Any) -> list[dict[str, Any]]:
    return [samples.langfuse()[0] | values]


LANGFUSE = [
    Trap(
        "langfuse: v3 scores; a correction; who asked is who gave it, where nobody else is named",
        {"observations.jsonl": samples.langfuse(), "scores.json": samples.langfuse_scores()},
        [*FUSED, "vote 1 down by u-7 | comment too hot", f"fixed 1 by rev-3: {HOT}"],
        user=None,
    ),
    Trap(
        "langfuse: v2 scores are numbers, the text of a correction stands beside a 0; a score of a trace is of its root; EVAL is no person",
        {"observations.jsonl": samples.langfuse(), "scores.json": samples.langfuse_scores_v2()},
        [*FUSED, "vote 1 down by u-7", "vote 1 up by judge | source judge", f"fixed 1 by rev-3: {HOT}"],
        {"judge": 1},
        user=None,
    ),
    Trap(
        "langfuse: one person a chat, who gave its votes too, on the call and on the trace",
        {
            "observations.jsonl": [
                *fused(userId=None),
                *fused(userId=None, id="o-2", parentObservationId="o-1", isRootObservation=False, output=HOT),
            ],
            "scores.json": [
                samples.langfuse_scores_v2()["data"][0] | {"observationId": "o-2", "value": 1.0},
                samples.langfuse_scores_v2()["data"][0] | {"observationId": None},
            ],
        },
        [
            *FUSED,
            "vote 1 down by its person",
            ASKED,
            f"1 < 0 assistant: {HOT} | model llama-3",
            "vote 1 up by its person",
        ],
        user="each",
    ),
    Trap(
        "langfuse: which score is the thumb must be said",
        {"observations.jsonl": samples.langfuse(), "scores.json": samples.langfuse_scores()[:1]},
        FUSED,
        {"not_a_thumb": 1},
        score=(),
    ),
    Trap(
        "langfuse: and what is up",
        {
            "observations.jsonl": samples.langfuse(),
            "scores.json": [samples.langfuse_scores()[0] | {"dataType": "NUMERIC", "value": 4}],
        },
        [*FUSED, "vote 1 up by u-7 | comment too hot"],
        up=(">=4",),
    ),
    Trap(
        "langfuse: words as values",
        {
            "observations.jsonl": samples.langfuse(),
            "scores.json": [
                samples.langfuse_scores_v2()["data"][0] | {"dataType": "CATEGORICAL", "stringValue": "useless"}
            ],
        },
        [*FUSED, "vote 1 down by u-7"],
        up=("helpful",),
    ),
    Trap("langfuse: a question that is a text", {"o.jsonl": fused(input=TEA, output=BOILING)}, FUSED),
    Trap(
        "langfuse: a request with messages and tools",
        {"o.jsonl": fused(input={"messages": [USER], "tools": [TOOL]}, output={"choices": [{"message": BAD}]})},
        FUSED,
    ),
    Trap(
        "langfuse: items of the Responses API",
        {
            "o.jsonl": fused(
                input=[{"type": "message", "role": "user", "content": [{"type": "input_text", "text": TEA}]}],
                output=[
                    {"type": "reasoning", "summary": [{"type": "summary_text", "text": "Hm."}]},
                    {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": BOILING}]},
                ],
            )
        },
        [ASKED, f"1 < 0 assistant: {BOILING} | think: Hm. | model llama-3"],
    ),
    Trap(
        "langfuse: the export's snake case, JSON in the cells of a table",
        {
            "observations.csv": "id,trace_id,type,start_time,user_id,provided_model_name,input,output,parent_observation_id\n"
            "o-1,t-1,GENERATION,2026-10-06 08:00:00,u-7,llama-3,"
            f'"[{{""role"": ""user"", ""content"": ""{TEA}""}}]","{{""role"": ""assistant"", ""content"": ""{BOILING}""}}",\n'.encode()
        },
        FUSED,
    ),
    Trap("langfuse: a call that failed", {"o.jsonl": fused(level="ERROR")}, [FUSED[0], f"{FUSED[1]} | error"]),
    Trap(
        "langfuse: a span is no chat", {"o.jsonl": [*fused(type="SPAN"), *samples.langfuse()]}, FUSED, {"not_a_chat": 1}
    ),
    Trap(
        "langfuse: a score of a trace that is not here",
        {"scores.json": samples.langfuse_scores_v2()["data"][1:2]},
        [],
        {"no_chat": 1},
    ),
]


def spans(**attributes: Any) -> dict[str, Any]:
    whole = samples.phoenix()
    whole["spans"][0]["attributes"] |= attributes
    return whole | {"annotations": []}


PHOENIX_LINES = [ASKED, f"1 < 0 assistant: {BOILING} | model llama-3"]
TRACES = [
    Trap(
        "phoenix: keys with points; models annotate too",
        {"p.json": samples.phoenix()},
        [*PHOENIX_LINES, "vote 1 down by u-8 | comment too hot", "vote 1 up by judge | source judge"],
        {"judge": 1},
        user=None,
    ),
    Trap(
        "phoenix: spans and annotations in files of their own",
        {
            "a-annotations.json": {"data": samples.phoenix()["annotations"][:1]},
            "b-spans.json": {"data": samples.phoenix()["spans"]},
        },
        [*PHOENIX_LINES, "vote 1 down by u-8 | comment too hot"],
        user=None,
    ),
    Trap(
        "phoenix: an annotation of a whole trace is about its root's answer",
        {
            "p.json": samples.phoenix()
            | {
                "annotations": [
                    {key: value for key, value in samples.phoenix()["annotations"][0].items() if key != "span_id"}
                    | {"trace_id": "pt-1"}
                ]
            }
        },
        [*PHOENIX_LINES, "vote 1 down by u-8 | comment too hot"],
    ),
    Trap(
        "phoenix: messages in the order of their numbers, of which 10 comes after 9",
        {
            "p.json": spans(
                **{
                    f"llm.input_messages.{at}.message.{key}": value
                    for at in range(1, 12)
                    for key, value in (("role", "user"), ("content", str(at)))
                }
            )
        },
        [
            ASKED,
            *(f"{at} < {at - 1} user: {at}" for at in range(1, 12)),
            f"12 < 11 assistant: {BOILING} | model llama-3",
        ],
    ),
    Trap(
        "phoenix: calls of tools in keys with points, contents in parts",
        {
            "p.json": spans(
                **{
                    "llm.output_messages.0.message.content": "",
                    "llm.output_messages.0.message.tool_calls.0.tool_call.id": "c-1",
                    "llm.output_messages.0.message.tool_calls.0.tool_call.function.name": "kettle",
                    "llm.output_messages.0.message.tool_calls.0.tool_call.function.arguments": '{"cup": 2}',
                    "llm.input_messages.0.message.content": None,
                    "llm.input_messages.0.message.contents.0.message_content.type": "text",
                    "llm.input_messages.0.message.contents.0.message_content.text": TEA,
                    "llm.input_messages.0.message.contents.1.message_content.type": "image",
                    "llm.input_messages.0.message.contents.1.message_content.image.image.url": "data:x",
                }
            )
        },
        [f"{ASKED} | dropped image", '1 < 0 assistant:  | call kettle({"cup": 2}) as c-1 | model llama-3'],
        {"image_dropped": 1},
    ),
    Trap(
        "opik: votes by author and never the mean",
        {"trace_ot-1.json": samples.opik()},
        [
            ASKED,
            f"1 < 0 assistant: {BOILING}",
            "vote 1 down by ana@tea.invalid | comment too hot",
            "vote 1 up by bo@tea.invalid",
        ],
    ),
    Trap(
        "opik: a score that a rule gave is no person's",
        {
            "trace_ot-1.json": changed(
                samples.opik(),
                "trace",
                feedback_scores=[{"name": "thumb", "value": 1.0, "source": "online_scoring", "created_by": "rule"}],
            )
        },
        [ASKED, f"1 < 0 assistant: {BOILING}", "vote 1 up by judge | source judge"],
        {"judge": 1},
    ),
    Trap(
        "opik: a trace that is no chat, around a call of a model that is one",
        {
            "trace_ot-1.json": {
                "trace": {"id": "ot-2", "input": {"docs": [1]}, "output": {"ok": True}},
                "spans": [{"type": "llm", "model": "m", "input": {"messages": [USER]}, "output": BAD}],
            }
        },
        [ASKED, f"1 < 0 assistant: {BOILING} | model m"],
    ),
    Trap(
        "mlflow: attributes are JSON in texts, previews are cut; a vote that was replaced is gone; an expectation is a correction",
        {"t.jsonl": samples.mlflow()},
        [ASKED, f"1 < 0 assistant: {BOILING}", "vote 1 down by u-7 | comment too hot", f"fixed 1 by rev-3: {HOT}"],
        {"withdrawn": 1},
        user=None,
    ),
    Trap(
        "mlflow: what is overridden is gone, though it calls itself valid; a judge is no person",
        {
            "t.jsonl": changed(
                changed(samples.mlflow(), 0, "info", "assessments", 0, valid=True),
                *(0, "info", "assessments", 2),
                expectation={"value": HOT},
                source={"source_type": "LLM_JUDGE", "source_id": "gpt"},
            )
        },
        [ASKED, f"1 < 0 assistant: {BOILING}", "vote 1 down by u-7 | comment too hot"],
        {"withdrawn": 1, "judge": 1},
    ),
    Trap(
        "mlflow: without spans there is no text that is whole",
        {"t.jsonl": changed(samples.mlflow(), 0, data={})},
        [],
        {"no_span": 1},
    ),
]
TRAPS = [*LIBRECHAT, *CHATGPT, *CLAUDE, *STORES, *TRAINING, *LANGFUSE, *TRACES]


@pytest.mark.parametrize("trap", TRAPS, ids=[trap.label for trap in TRAPS])
def test_what_is_stored_is_what_was_said(trap: Trap, sqlite_settings: Settings, tmp_path: Path) -> None:
    folder = tmp_path / "files"
    folder.mkdir()
    for name, content in trap.files.items():
        write(folder, name, content)

    with closing(open_store(sqlite_settings)) as store:
        vault = open_vault(sqlite_settings, store)
        for _ in range(2):  # the second time everything is there already
            counts = imported(store, vault, folder, user=trap.user, score=trap.score, up=trap.up, answers=trap.answers)
            assert (sorted(stored(store, vault)), counts.refused | counts.left_out) == (sorted(trap.lines), trap.counts)
    assert not any(result in ("created", "appended") for results in counts.results.values() for result in results)
