"""The sixteen clients: they talk, vote, change their minds, correct, compare and chat, and note what was acknowledged."""

import asyncio
import json
import random
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import suppress
from typing import Any
from urllib.parse import quote

import httpx

from bench.curation import ENGLISH, KOREAN
from bench.storm.ledger import Chat, Ledger, Message, Reply, Talk
from bench.storm.sender import Cut, NoAnswer, Refused, Sender, Tally, http_client

CLIENTS = 16
PAUSE_SECONDS = 0.3  # between two things that a client does, on average
MAX_TALKS = 400  # that one client remembers to go on with
_TRIES = 6
_MAX_TOKENS = 48
_STATUS_OK = {"created", "appended", "unchanged"}


class Client:
    """One client of the storm, with ids and people of its own; it sees the answers that all of them got."""

    def __init__(self, number: int, seed: str, http: httpx.AsyncClient, tally: Tally, ledger: Ledger) -> None:
        self._name, self._rng = f"s{number}", random.Random(f"{seed}-{number}")
        self._send = Sender(http, tally, self._rng)
        self._tally, self._ledger = tally, ledger
        self._count = 0
        self._talks: list[Talk] = []
        self._chats: list[Chat] = []

    async def run(self) -> None:
        """Does one thing after the other until the storm is over; what was begun is finished."""
        actions: list[tuple[Callable[[], Awaitable[None]], int]] = [
            (self._store_one, 20),
            (self._store_list, 5),
            (self._stream, 2),
            (self._append, 10),
            (self._send_again, 6),
            (self._vote, 24),
            (self._correct, 10),
            (self._compare, 7),
            (self._compare_whole, 4),
            (self._chat, 12),
        ]
        names, weights = zip(*actions, strict=True)
        while not self._tally.over.is_set():
            with suppress(NoAnswer):
                await self._rng.choices(names, weights)[0]()
            await asyncio.sleep(self._rng.uniform(0, 2 * PAUSE_SECONDS))

    # ---- conversations --------------------------------------------------------------------------------------

    async def _store_one(self) -> None:
        talk, row = self._row()
        answer = await self._send.insist("POST", "/v1/conversations", lambda: {"json": row})
        self._stored(talk, answer["result"])

    async def _store_list(self) -> None:
        rows = [self._row() for _ in range(self._rng.randint(2, 8))]
        body = [row for _, row in rows]
        answers = await self._send.insist("POST", "/v1/conversations", lambda: {"json": body})
        for (talk, _), answer in zip(rows, answers, strict=True):
            self._stored(talk, answer["result"])

    async def _stream(self) -> None:
        """An NDJSON stream; every third try the client leaves in the middle of it."""
        rows = [self._row() for _ in range(self._rng.randint(10, 40))]
        lines = [json.dumps(row, ensure_ascii=False).encode() + b"\n" for _, row in rows]

        def body() -> dict[str, Any]:
            return {"content": _flow(lines, self._rng.randrange(len(lines)) if self._rng.random() < 0.3 else None)}

        summary = await self._send.insist("POST", "/v1/conversations/import", body)
        if summary["conflict"] or summary["invalid"] or summary["lines"] != len(lines):
            self._tally.fault(f"a stream of {len(lines)} good lines was answered {summary}")
        for talk, _ in rows:
            self._stored(talk, "created")

    async def _append(self) -> None:
        """Two further messages, sent with all the earlier ones."""
        talk = self._pick()
        if talk is None:
            return
        last, size = talk.messages[-1], len(talk.messages)
        question = Message(f"{talk.id}-{size}", "user", self._text(), last.id)
        talk.unanswered = [question, Message(f"{talk.id}-{size + 1}", "assistant", self._text(), question.id)]
        row = {"id": talk.id, "user": talk.user, "messages": _wire([*talk.messages, *talk.unanswered])}
        answer = await self._send.insist("POST", "/v1/conversations", lambda: {"json": row})
        self._stored(talk, answer["result"], {"appended", "unchanged"})

    async def _send_again(self) -> None:
        """What was acknowledged must be known."""
        talk = self._pick()
        if talk is None:
            return
        row = {"id": talk.id, "user": talk.user, "messages": _wire(talk.messages)}
        answer = await self._send.insist("POST", "/v1/conversations", lambda: {"json": row})
        if answer["result"] != "unchanged":
            self._tally.fault(f"an acknowledged conversation sent again was {answer['result']}")

    def _row(self) -> tuple[Talk, dict[str, Any]]:
        """A new conversation: a question, one or two answers to it, perhaps more; with feedback of its own at times."""
        self._count += 1
        id = f"{self._name}-c{self._count}"
        talk = Talk(id, f"{self._name}-u{self._rng.randrange(20)}")
        question = Message(f"{id}-0", "user", self._text(), None)
        answers = [Message(f"{id}-{n + 1}", "assistant", self._text(), question.id) for n in range(2)]
        talk.unanswered = [question, *answers[: self._rng.randint(1, 2)]]
        row: dict[str, Any] = {"id": id, "user": talk.user, "messages": _wire(talk.unanswered), "consent": True}
        if self._rng.random() < 0.5:
            row["satisfaction"] = self._rng.randint(1, 5)
            talk.satisfaction.send(row["satisfaction"])
        if self._rng.random() < 0.3:
            row["votes"] = [{"message": answers[0].id, "value": "up"}]
            self._ledger.vote(answers[0].id, talk.user).send(1)
        self._ledger.talks[id] = talk
        return talk, row

    def _stored(self, talk: Talk, result: str, good: set[str] = _STATUS_OK) -> None:
        if result not in good:
            self._tally.fault(f"a conversation was answered {result!r}")
            return
        if not talk.messages:
            self._talks.append(talk)
            del self._talks[:-MAX_TALKS]
            own = self._ledger.votes.get((talk.unanswered[1].id, talk.user))
            for register in (talk.satisfaction, own):
                if register is not None and register.unanswered:
                    register.acknowledge(register.unanswered[-1])
        talk.acknowledge()

    # ---- feedback -------------------------------------------------------------------------------------------

    async def _vote(self) -> None:
        """A thumb, a changed one, or none any more; given up half the time if nobody answers."""
        talk = self._pick()
        if talk is None:
            return
        message, rater = self._rng.choice(talk.answers).id, f"{self._name}-r{self._rng.randrange(3)}"
        value = self._rng.choice((1, 1, -1, 0))
        register, path = self._ledger.vote(message, rater), f"/v1/votes/{quote(message)}"
        body = (
            {"json": {"value": "up" if value > 0 else "down", "user": rater}} if value else {"params": {"user": rater}}
        )
        await self._perhaps("PUT" if value else "DELETE", path, body, register, value)

    async def _correct(self) -> None:
        talk = self._pick()
        if talk is None:
            return
        message, rater = self._rng.choice(talk.answers).id, self._rng.choice((talk.user, f"{self._name}-r0"))
        one, path = self._ledger.correction(message, rater), f"/v1/messages/{quote(message)}/corrections"
        if one.newest.acknowledged is not None and self._rng.random() < 0.25:
            await self._perhaps("DELETE", path, {"params": {"user": rater}}, one.newest, None)
            return
        text = self._text()
        one.sent += 1
        answer = await self._perhaps("POST", path, {"json": {"content": text, "user": rater}}, one.newest, text)
        if answer is not None:
            one.texts[answer["id"]] = text

    async def _compare(self) -> None:
        talk = self._pick()
        siblings = [] if talk is None else [one.id for one in talk.answers if one.parent == talk.messages[0].id]
        if len(siblings) < 2:
            return
        chosen, rejected = self._rng.sample(siblings, 2)
        rater = f"{self._name}-r{self._rng.randrange(3)}"
        register = self._ledger.comparison(rater, chosen, rejected)
        stands = self._rng.random() < 0.75
        body = {"json": {"chosen": chosen, "rejected": rejected, "user": rater}}
        await self._perhaps(
            "POST" if stands else "DELETE", "/v1/comparisons", body, register, chosen if stands else None
        )

    async def _compare_whole(self) -> None:
        """A comparison that brings prompt and answers along."""
        talk, _ = self._row()
        question = talk.unanswered[0]
        rejected, chosen = (Message(f"{talk.id}-{n}", "assistant", self._text(), question.id) for n in (1, 2))
        talk.unanswered, talk.satisfaction.unanswered = [question, rejected, chosen], []
        self._ledger.votes.pop((rejected.id, talk.user), None)
        register = self._ledger.comparison(talk.user, chosen.id, rejected.id)
        register.send(chosen.id)
        body = {
            "id": talk.id,
            "user": talk.user,
            "prompt": [{"id": question.id, "role": "user", "content": question.content}],
            "chosen": {"id": chosen.id, "content": chosen.content},
            "rejected": {"id": rejected.id, "content": rejected.content},
            "consent": True,
        }
        await self._send.insist("POST", "/v1/comparisons", lambda: {"json": body})
        self._stored(talk, "created")
        register.acknowledge(chosen.id)

    async def _perhaps(self, method: str, path: str, body: dict[str, Any], register: Any, value: Any) -> Any:
        """Sends until it is acknowledged, or gives up after a while: then it may be stored or not."""
        register.send(value)
        while True:
            try:
                answer = await self._send.once(method, path, **body)
            except Refused:
                raise
            except NoAnswer:
                if self._rng.random() < 0.3:
                    return None
                await asyncio.sleep(self._rng.uniform(0.1, 0.6))
            else:
                register.acknowledge(value)
                return answer

    # ---- chat -----------------------------------------------------------------------------------------------

    async def _chat(self) -> None:
        """One turn with the champion, asked again until the answer is whole; then the answer is voted on at times."""
        chat = self._pick_chat()
        turn = {"role": "user", "content": self._text()}
        for _ in range(_TRIES):
            if self._tally.over.is_set():
                return
            try:
                id = await self._ask(chat, turn)
            except NoAnswer:
                await asyncio.sleep(self._rng.uniform(0.2, 1.0))
                continue
            chat.history += [turn, {"role": "assistant", "content": chat.replies[id].text}]
            if self._rng.random() < 0.5:
                register = self._ledger.vote(id, chat.user)
                await self._perhaps("PUT", f"/v1/votes/{id}", {"json": {"value": "up", "user": chat.user}}, register, 1)
            return

    async def _ask(self, chat: Chat, turn: dict[str, str]) -> str:
        """The id of a whole reply; the client leaves in the middle now and then. Raises NoAnswer without one."""
        body = {
            "model": "champion",
            "messages": [*chat.history, turn],
            "stream": self._rng.random() < 0.8,
            "max_tokens": _MAX_TOKENS,
            "store": True,
            "user": chat.user,
            "metadata": {"conversation_id": chat.id, "consent": "true"},
        }
        leave_after = self._rng.randint(1, 10) if body["stream"] and self._rng.random() < 0.15 else None
        chat.perhaps.add(turn["content"])
        chat.nameless += 1
        try:
            async with self._send.http.stream("POST", "/v1/chat/completions", json=body) as answer:
                if not answer.is_success:
                    await answer.aread()
                self._send.check("POST", "/v1/chat/completions", answer)
                chat.turns.add(turn["content"])
                if not body["stream"]:
                    return self._whole(chat, json.loads(await answer.aread()))
                return await self._read(chat, answer, leave_after)
        except httpx.TransportError as error:
            self._tally.broken += 1
            raise NoAnswer from error

    def _whole(self, chat: Chat, body: dict[str, Any]) -> str:
        chat.nameless -= 1
        reply = chat.replies.setdefault(body["id"], Reply())
        reply.text = body["choices"][0]["message"]["content"]
        reply.whole = bool(reply.text.strip())
        return str(body["id"])

    async def _read(self, chat: Chat, answer: httpx.Response, leave_after: int | None) -> str:
        """Reads a stream, noting each piece as it comes."""
        id, pieces = "", 0
        async for line in answer.aiter_lines():
            data = line.removeprefix("data: ")
            if not data or data == "[DONE]":
                continue
            event = json.loads(data)
            if "error" in event:
                break
            if not id:
                id = event["id"]
                chat.nameless -= 1
                chat.replies.setdefault(id, Reply())
            reply, choice = chat.replies[id], event["choices"][0]
            reply.text += choice["delta"].get("content", "")
            if choice["finish_reason"]:
                reply.whole = bool(reply.text.strip())
                return id
            pieces += 1
            if leave_after is not None and pieces > leave_after:
                break
        raise NoAnswer

    def _pick_chat(self) -> Chat:
        open_chats = [chat for chat in self._chats if len(chat.history) < 6]
        if open_chats and self._rng.random() < 0.6:
            return self._rng.choice(open_chats)
        self._count += 1
        chat = Chat(f"{self._name}-chat{self._count}", f"{self._name}-u{self._rng.randrange(20)}")
        self._chats = [*open_chats[-10:], chat]
        self._ledger.chats[chat.id] = chat
        return chat

    # ---- what is said ---------------------------------------------------------------------------------------

    def _pick(self) -> Talk | None:
        """A conversation of this client that was acknowledged."""
        return self._rng.choice(self._talks) if self._talks else None

    def _text(self) -> str:
        """Some sentences that nobody said before; an address among them now and then, for curation to replace."""
        self._count += 1
        sentences = self._rng.sample(KOREAN if self._rng.random() < 0.3 else ENGLISH, self._rng.randint(2, 4))
        if self._rng.random() < 0.1:
            sentences.append(f"Write to {self._name}.{self._count}@example.org.")
        return " ".join([*sentences, f"({self._name} {self._count})"])


async def _flow(lines: Sequence[bytes], leave_at: int | None) -> AsyncIterator[bytes]:
    for number, line in enumerate(lines):
        if number == leave_at:
            raise Cut
        yield line
        if number % 10 == 9:
            await asyncio.sleep(0.01)


def _wire(messages: Sequence[Message]) -> list[dict[str, Any]]:
    return [
        {"id": one.id, "role": one.role, "content": one.content, **({"parent": one.parent} if one.parent else {})}
        for one in messages
    ]


async def run_clients(url: str, key: str, seed: str, tally: Tally, ledger: Ledger) -> None:
    """All clients, until the tally says that the storm is over."""
    async with asyncio.TaskGroup() as group:
        for number in range(CLIENTS):
            group.create_task(_run_client(url, key, number, seed, tally, ledger))


async def _run_client(url: str, key: str, number: int, seed: str, tally: Tally, ledger: Ledger) -> None:
    async with http_client(url, key) as http:
        await Client(number, seed, http, tally, ledger).run()
