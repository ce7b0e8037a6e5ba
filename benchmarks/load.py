"""Loads one contender over keep-alive connections: one thread, one event loop, no library between it and the socket."""

from __future__ import annotations

import asyncio
import json
import time
from dataclasses import dataclass, field

POLL = 0.001
#: Seconds after which a measure gives up.
GIVE_UP = 180.0


@dataclass
class Loaded:
    """What came of it; times in seconds."""

    seconds: float = 0.0
    latencies: list[float] = field(default_factory=list)
    ids: list[str] = field(default_factory=list)


class Client(asyncio.Protocol):
    """One connection; one request at a time."""

    def __init__(self) -> None:
        self._transport: asyncio.Transport | None = None
        self._heard = b""
        self._answer: asyncio.Future[tuple[int, bytes]] | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._heard += data
        head, found, body = self._heard.partition(b"\r\n\r\n")
        if not found or self._answer is None:
            return
        length = int(head.lower().split(b"content-length:")[1].split(b"\r\n")[0])
        if len(body) >= length:
            self._heard = b""
            self._answer.set_result((int(head[9:12]), body))
            self._answer = None

    def connection_lost(self, _: Exception | None) -> None:
        if self._answer is not None and not self._answer.done():
            self._answer.set_exception(ConnectionError("the service closed the connection"))

    def close(self) -> None:
        """Drop the connection."""
        if self._transport is not None:
            self._transport.abort()

    async def ask(self, request: bytes) -> bytes:
        """The body of the answer. Raises RuntimeError for anything but success."""
        assert self._transport is not None
        self._answer = asyncio.get_running_loop().create_future()
        self._transport.write(request)
        status, body = await self._answer
        if status >= 300:
            raise RuntimeError(f"{status}: {body[:300]!r}")
        return body


async def connect(port: int) -> Client:
    _, client = await asyncio.get_running_loop().create_connection(Client, "127.0.0.1", port)
    return client


def post(path: str, body: bytes) -> bytes:
    """A POST as it goes over the wire."""
    head = f"POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: {len(body)}"
    return head.encode() + b"\r\n\r\n" + body


async def _submit(port: int, request: bytes, count: int, connections: int) -> Loaded:
    loaded, left, answers = Loaded(), iter(range(count)), list[bytes]()
    clients = [await connect(port) for _ in range(connections)]

    async def work(client: Client) -> None:
        for _ in left:
            started = time.perf_counter()
            body = await client.ask(request)
            loaded.latencies.append(time.perf_counter() - started)
            answers.append(body)

    started = time.perf_counter()
    await asyncio.gather(*(work(client) for client in clients))
    loaded.seconds = time.perf_counter() - started
    loaded.ids = [str(json.loads(body).get("id", "")) for body in answers]  # not while it loads
    return loaded


async def _finish(client: Client, task_id: str) -> None:
    end = time.perf_counter() + GIVE_UP
    while True:
        body = await client.ask(f"GET /api/tasks/{task_id} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
        status = json.loads(body)["status"]
        if status == "succeeded":
            return
        if status in ("failed", "timed_out", "lost") or time.perf_counter() > end:
            raise RuntimeError(f"task {task_id} ended as {status}")
        await asyncio.sleep(POLL)


def submit(port: int, request: bytes, *, count: int, connections: int = 8) -> Loaded:
    """So many POSTs; ends when each was answered."""
    return asyncio.run(_submit(port, request, count, connections))


def to_the_end(port: int, request: bytes, *, count: int, connections: int = 8) -> Loaded:
    """So many POSTs, until every task has succeeded; `seconds` is from the first POST to the last end seen."""

    async def run() -> Loaded:
        started = time.perf_counter()
        loaded = await _submit(port, request, count, connections)
        client = await connect(port)
        for task_id in reversed(loaded.ids[-64:]):
            await _finish(client, task_id)
        loaded.seconds = time.perf_counter() - started
        for task_id in loaded.ids:  # not timed: nothing may have been left out
            await _finish(client, task_id)
        return loaded

    return asyncio.run(run())


def one_by_one(port: int, request: bytes, *, count: int) -> Loaded:
    """POST, ask until it has succeeded, then the next; `latencies` are from POST to the end seen."""

    async def run() -> Loaded:
        loaded = Loaded()
        client = await connect(port)
        begun = time.perf_counter()
        for _ in range(count):
            started = time.perf_counter()
            task_id = str(json.loads(await client.ask(request))["id"])
            await _finish(client, task_id)
            loaded.latencies.append(time.perf_counter() - started)
        loaded.seconds = time.perf_counter() - begun
        return loaded

    return asyncio.run(run())
