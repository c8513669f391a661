"""LangChain's three ways to structured output and LiteLLM, against a real server with the tiny model.

    pip install -c constraints.txt 'perennial-service[clients]'

They are skipped where these are not installed: no part of the service needs them.
"""

import os
from typing import Any, Literal

import pytest
from pydantic import BaseModel

from tests.service.chat.test_serving import live  # noqa: F401  (the server of that module, as its own here)
from tests.service.live import Live

os.environ.setdefault("LITELLM_LOCAL_MODEL_COST_MAP", "True")  # else it fetches one when it is imported

langchain = pytest.importorskip("langchain_openai")
litellm = pytest.importorskip("litellm")


class Weather(BaseModel):
    """The weather of a city."""

    city: Literal["Ulm", "Bonn"]
    warm: bool


@pytest.fixture
def chat(live: Live) -> Any:  # noqa: F811
    return langchain.ChatOpenAI(
        model="champion",
        base_url=f"{live.url}/v1",
        api_key="none",
        max_retries=0,
        temperature=1,
        seed=3,
        max_tokens=200,
    )


@pytest.mark.parametrize("method", ["json_schema", "function_calling", "json_mode"])
def test_langchains_structured_output(chat: Any, method: str) -> None:
    asked = chat.with_structured_output(Weather, method=method, include_raw=True)
    answer = asked.invoke("Is it warm in Ulm? Answer in JSON.")
    if (
        method == "json_mode"
    ):  # any JSON object: whether it is one of this kind is the model's to know, and this one is tiny
        assert answer["raw"].content.lstrip().startswith("{")
        return
    assert isinstance(answer["parsed"], Weather) and answer["parsing_error"] is None


def test_langchain_streams_and_binds_tools(chat: Any) -> None:
    assert "".join(chunk.content for chunk in chat.stream("Hello there!"))
    (call,) = chat.bind_tools([Weather], tool_choice="Weather").invoke("Hello there!").tool_calls
    assert call["name"] == "Weather" and Weather.model_validate(call["args"])


def test_litellm(live: Live) -> None:  # noqa: F811
    options = {"model": "openai/champion", "api_base": f"{live.url}/v1", "api_key": "none", "max_tokens": 100}
    messages = [{"role": "user", "content": "Hello there!"}]
    whole = litellm.completion(messages=messages, temperature=0, **options)
    chunks = litellm.completion(messages=messages, temperature=0, stream=True, **options)
    said = "".join(chunk.choices[0].delta.content or "" for chunk in chunks)
    assert said == whole.choices[0].message.content and whole.model.endswith("tiny-origin")
    held = litellm.completion(messages=messages, response_format=Weather, seed=3, **options)
    assert Weather.model_validate_json(held.choices[0].message.content)
