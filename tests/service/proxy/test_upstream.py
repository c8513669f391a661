"""The address of the upstream, and where the paths of requests go."""

import pytest

from pipelines.errors import InputError
from service.proxy.upstream import parse_upstream


@pytest.mark.parametrize(
    ("upstream", "path", "query", "target"),
    [
        ("http://127.0.0.1:11434/v1", "/v1/chat/completions", "", "http://127.0.0.1:11434/v1/chat/completions"),
        ("http://127.0.0.1:11434/v1/", "/v1/models", "a=%20", "http://127.0.0.1:11434/v1/models?a=%20"),
        ("http://127.0.0.1:11434", "/v1/models", "", "http://127.0.0.1:11434/v1/models"),
        ("http://127.0.0.1:11434/v1", "/api/tags", "", "http://127.0.0.1:11434/api/tags"),
        ("https://openrouter.example/api/v1", "/v1/responses", "", "https://openrouter.example/api/v1/responses"),
        ("https://host/openai", "/v1/chat/completions", "", "https://host/openai/chat/completions"),
        ("http://[::1]:8000/v1", "/v1/a%2Fb", "", "http://[::1]:8000/v1/a%2Fb"),
        ("http://h/v1", "/v1extra", "", "http://h/v1extra"),
        ("http://h/v1", "//evil.example/v1", "", "http://h//evil.example/v1"),
    ],
)
def test_a_path_goes_to_the_upstreams_own(upstream: str, path: str, query: str, target: str) -> None:
    assert str(parse_upstream(upstream).url(path.encode(), query.encode())) == target


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("127.0.0.1:11434", "is no http:// or https:// address; write e.g. http://127.0.0.1:11434/v1"),
        ("ftp://h/v1", "is no http:// or https:// address"),
        ("http:///v1", "is no http:// or https:// address"),
        ("http://h:99999/v1", "is no address (Port out of range"),
        ("https://sk-1@h/v1", "holds a user or a key"),
        ("http://h/v1?key=1", "has a query or a fragment"),
    ],
)
def test_what_is_no_upstream_is_refused_in_a_sentence(text: str, said: str) -> None:
    with pytest.raises(InputError) as refusal:
        parse_upstream(text)
    assert said in str(refusal.value) and "sk-1" not in str(refusal.value)
