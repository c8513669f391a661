"""
title: Perennial
author: Perennial
version: 1.0.0
required_open_webui_version: 0.5.0
description: Sends chats, thumbs and consent to Perennial, which learns from those whose users agreed.
"""

# Paste this file into Open WebUI: Admin Panel, Functions, +; then set url and key in its valves, and enable it globally or
# for a model. Each person agrees (or not) in their own valves. Nothing here ever breaks a chat: what cannot be sent is logged.

import inspect
import logging
import re
from typing import Any

import httpx
from pydantic import BaseModel, Field

log = logging.getLogger("perennial")
_REASONING = re.compile(r'<details type="(?:reasoning|code_interpreter)".*?</details>\s*', re.DOTALL)
_RECENT = 200  # thumbs of a person that are looked at


class Filter:
    """Open WebUI calls `inlet` with each question and `outlet` with each finished answer."""

    class Valves(BaseModel):
        """What an administrator sets."""

        url: str = Field("http://127.0.0.1:8600", description="where Perennial is")
        key: str = Field(
            "", description="a key of Perennial with the scope ingest: perennial keys create open-webui --scopes ingest"
        )
        app: str = Field("", description="the app that the chats belong to; empty: the key's own")
        timeout_seconds: float = Field(10.0, description="how long Perennial may take")
        send_without_consent: bool = Field(
            False, description="store chats of people who did not agree too; nothing is learned from them"
        )

    class UserValves(BaseModel):
        """What each person sets."""

        consent: bool = Field(False, description="my chats and thumbs may be used to improve the model")

    def __init__(self) -> None:
        self.valves = self.Valves()
        self._sent: dict[str, tuple[Any, ...]] = {}  # thumbs that Perennial has, by their id

    async def inlet(self, body: dict[str, Any], __user__: dict[str, Any] | None = None) -> dict[str, Any]:
        """Names the person and their consent to whatever answers, and sends the thumbs given since the last question."""
        if __user__:
            body["user"] = str(__user__["id"])
            metadata = body.get("metadata")
            consent = "true" if self._agrees(__user__) else "false"
            body["metadata"] = {**(metadata if isinstance(metadata, dict) else {}), "consent": consent}
            if self._may_send(__user__):
                await self._send_thumbs(__user__)
        return body

    async def outlet(self, body: dict[str, Any], __user__: dict[str, Any] | None = None) -> dict[str, Any]:
        """Sends the chat as it stands, then the thumbs."""
        if __user__ and body.get("chat_id") and self._may_send(__user__):
            await self._send("POST", "/v1/conversations", self._conversation(body, __user__))
            await self._send_thumbs(__user__)
        return body

    def _may_send(self, user: dict[str, Any]) -> bool:
        return self._agrees(user) or self.valves.send_without_consent

    def _agrees(self, user: dict[str, Any]) -> bool:
        """The person's own choice; Open WebUI hands their valves over as a record, or as a mapping."""
        valves = user.get("valves")
        return bool(valves.get("consent") if isinstance(valves, dict) else getattr(valves, "consent", False))

    def _conversation(self, body: dict[str, Any], user: dict[str, Any]) -> dict[str, Any]:
        """The branch of the chat that is shown; ids are those of Perennial's importer, so that both may bring it."""
        chat, messages, parent = str(body["chat_id"]), [], None
        for one in body.get("messages") or []:
            if one.get("role") not in ("system", "user", "assistant") or not one.get("id"):
                continue
            id = f"{chat}:{one['id']}"
            message = {"id": id, "role": one["role"], "content": _text(one.get("content"))}
            if parent is not None:
                message["parent"] = parent
            if one["role"] == "assistant" and (one.get("model") or body.get("model")):
                message["model"] = str(one.get("model") or body["model"])
            messages.append(message)
            parent = id
        return {"id": chat, "user": str(user["id"]), "consent": self._agrees(user), "messages": messages, **self._app()}

    async def _send_thumbs(self, user: dict[str, Any]) -> None:
        """The person's thumbs that are new or changed since they were sent."""
        for row in await _thumbs_of(str(user["id"])):
            data, meta = row.get("data") or {}, row.get("meta") or {}
            value = {1: "up", -1: "down", "1": "up", "-1": "down"}.get(data.get("rating"))
            if value is None or not meta.get("chat_id") or not meta.get("message_id"):
                continue
            seen = (value, data.get("reason"), data.get("comment"))
            if self._sent.get(row["id"]) == seen:
                continue
            vote = {"value": value, "user": str(user["id"]), **self._app()}
            if data.get("reason"):
                vote["reason"] = str(data["reason"])[:64]
            if data.get("comment"):
                vote["comment"] = str(data["comment"])
            if await self._send("PUT", f"/v1/votes/{meta['chat_id']}:{meta['message_id']}", vote):
                self._sent[row["id"]] = seen

    def _app(self) -> dict[str, str]:
        return {"app": self.valves.app} if self.valves.app else {}

    async def _send(self, method: str, path: str, body: dict[str, Any]) -> bool:
        """Whether Perennial took it. Says nothing of the text in the log."""
        headers = {"X-API-Key": self.valves.key} if self.valves.key else {"X-Perennial": "1"}
        try:
            async with httpx.AsyncClient(base_url=self.valves.url, timeout=self.valves.timeout_seconds) as client:
                answer = await client.request(method, path, json=body, headers=headers)
        except httpx.HTTPError as error:
            log.warning("Perennial at %s does not answer: %s", self.valves.url, type(error).__name__)
            return False
        if answer.is_error:
            log.warning("Perennial refused %s: %s", path.partition("/v1/")[2].partition("/")[0], answer.status_code)
        return not answer.is_error


async def _thumbs_of(user: str) -> list[dict[str, Any]]:
    """Open WebUI's own record of a person's thumbs, newest first; functions get no event when one is given."""
    try:
        from open_webui.models.feedbacks import Feedbacks

        found = Feedbacks.get_feedbacks_by_user_id(user)
        rows = await found if inspect.isawaitable(found) else found
    except Exception as error:  # another version of Open WebUI: chats go on without their thumbs
        log.warning("thumbs cannot be read from Open WebUI: %s", type(error).__name__)
        return []
    newest = sorted((_plain(row) for row in rows), key=lambda row: row.get("updated_at") or 0, reverse=True)
    return newest[:_RECENT]


def _plain(row: Any) -> dict[str, Any]:
    return dict(row.model_dump()) if hasattr(row, "model_dump") else dict(row)


def _text(content: Any) -> str:
    """The words of a message, without what the model only thought."""
    if isinstance(content, list):
        content = "\n".join(str(part.get("text", "")) for part in content if part.get("type") == "text")
    return _REASONING.sub("", str(content or ""))
