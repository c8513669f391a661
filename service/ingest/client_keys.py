"""What other programs call things: keys that say nothing to us, kinds of parts, spellings of roles and thumbs."""

from collections.abc import Mapping

# Sent along by OpenAI's client and servers that speak like it, Ollama, LangChain, the Vercel AI SDK, Open WebUI.
MESSAGE_KEYS = frozenset(
    [
        "refusal",
        "annotations",
        "audio",
        "function_call",
        "logprobs",
        "finish_reason",
        "stop_reason",
        "index",
        "reasoning_details",
        "reasoning_signature",
        "thinking_signature",
        "provider_specific_fields",
        "additional_kwargs",
        "response_metadata",
        "usage_metadata",
        "invalid_tool_calls",
        "cache_control",
        "prefix",
        "partial",
        "object",
        "type",
        "status",
        "usage",
        "token_ids",
        "prompt_token_ids",
        "stop_sequence",
        "experimental_attachments",
        "experimental_providerMetadata",
        "toolInvocations",
        "childrenIds",
        "files",
        "sources",
        "done",
    ]
)
CONVERSATION_KEYS = frozenset(
    [
        "temperature",
        "top_p",
        "top_k",
        "min_p",
        "n",
        "stream",
        "stream_options",
        "stop",
        "max_tokens",
        "max_completion_tokens",
        "response_format",
        "tool_choice",
        "parallel_tool_calls",
        "functions",
        "function_call",
        "logprobs",
        "top_logprobs",
        "logit_bias",
        "presence_penalty",
        "frequency_penalty",
        "repetition_penalty",
        "seed",
        "store",
        "modalities",
        "audio",
        "prediction",
        "reasoning_effort",
        "verbosity",
        "service_tier",
        "system_fingerprint",
        "safety_identifier",
        "prompt_cache_key",
        "object",
        "created",
        "usage",
        "extra_body",
        "options",
        "keep_alive",
    ]
)
REASONING_KEYS = ("reasoning_content", "thinking")
NAME_KEYS = ("tool_name",)
TIME_KEYS = ("timestamp", "created_at", "createdAt")

ROLES: Mapping[str, str] = {
    "system": "system",
    "developer": "system",
    "user": "user",
    "assistant": "assistant",
    "tool": "tool",
}
ROLES_MEANT: Mapping[str, str] = {
    **dict.fromkeys(("bot", "ai", "model", "gpt", "chatgpt", "agent", "llm", "chatbot", "response"), "assistant"),
    **dict.fromkeys(("human", "customer", "client", "person", "prompter", "usr"), "user"),
    **dict.fromkeys(("function", "observation", "ipython", "tool_result"), "tool"),
    **dict.fromkeys(("instructions", "context", "sys"), "system"),
}

TEXT_PARTS = frozenset({"text", "input_text", "output_text", "refusal"})
REASONING_PARTS = frozenset({"thinking", "think", "reasoning"})
PART_KINDS: Mapping[str, str] = {
    **dict.fromkeys(("image", "image_url", "input_image", "image_file", "image_asset_pointer"), "image"),
    **dict.fromkeys(("audio", "input_audio", "audio_url", "audio_asset_pointer"), "audio"),
    **dict.fromkeys(("video", "video_url", "input_video"), "video"),
    **dict.fromkeys(("file", "input_file", "file_url", "document", "attachment"), "file"),
}

# Compared without case, underscores, hyphens and blanks; 1 and true are told apart from one another.
THUMBS: Mapping[str, tuple[str | int | float | bool, ...]] = {
    "up": (
        *("up", "thumbsup", "thumbup", "upvote", "like", "liked", "good", "positive", "true", "yes", "1", "+1"),
        *("👍", 1, True),
    ),
    "down": (
        *("down", "thumbsdown", "thumbdown", "downvote", "dislike", "disliked", "bad", "negative", "false", "no", "-1"),
        *("👎", -1, False),
    ),
}

# What people send, and what it is called here.
INSTEAD: Mapping[str, str] = {
    **dict.fromkeys(
        ("conversations", "conversation", "history", "chat", "dialog", "dialogue", "turns", "msgs"),
        "send one conversation as {id, user, messages: [{role, content}]}, several as a list of them",
    ),
    **dict.fromkeys(("from", "sender", "author", "speaker"), "send `role`: system, user, assistant or tool"),
    **dict.fromkeys(("text", "value", "body", "message"), "send the text as `content`"),
    **dict.fromkeys(("user_id", "userId", "person", "person_id", "account"), "send who it was as `user`"),
    **dict.fromkeys(("conversation_id", "chat_id", "session_id", "thread_id", "uuid"), "send it as `id`"),
    **dict.fromkeys(("message_id", "messageId"), "send it as `id`, and in feedback as `message`"),
    **dict.fromkeys(("parent_id", "parentId", "parentMessageId", "parent_message_id"), "send it as `parent`"),
    **dict.fromkeys(("feedback", "rating", "thumb", "thumbs", "vote"), 'send `votes`: [{"message": 1, "value": "up"}]'),
    **dict.fromkeys(("score", "stars", "csat"), "send 1 to 5 as `satisfaction`, a thumb in `votes`"),
    **dict.fromkeys(
        ("date", "datetime", "ts", "create_time", "created"), "send it as `time`, e.g. 2026-11-20T12:00:00Z"
    ),
    **dict.fromkeys(("language", "topic"), 'send it in `hints`: {"language": ..., "topic": ...}'),
    **dict.fromkeys(("tags", "title", "meta"), "send it in `metadata`"),
}
