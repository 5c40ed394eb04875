"""NATS JetStream as the broker of a mirror: nats-py in one daemon thread with an asyncio loop of its own.

Promises that no call waits longer than its bound, and that a stream which could lose messages is refused.
The stream NAME holds the frames under the subject `NAME.frames`; the stream NAME-events holds the records as
JSON under `NAME.events`. Called by `engine.mirror.pushing` and `pulling`.
"""

from __future__ import annotations

import asyncio
import base64
import concurrent.futures
import json
import re
import threading
from collections.abc import Coroutine, Sequence
from contextlib import suppress
from typing import Any, Final, TypeVar

from engine.errors import ConfigError, UsageError
from engine.mirror.broker import Fenced, Message, Stored, StreamState
from engine.mirror.errors import MirrorError, MirrorOutOfStep, MirrorUnavailable, MirrorUnfit
from engine.mirror.logins import login_of, tls_context
from engine.mirror.messages import FRAMES
from engine.stores.settings import Address

__all__ = ["NatsBroker"]

CLOSE_S: Final = 2.0
CONNECT_S: Final = 5.0
ANSWER_S: Final = 10.0
"""How long a batch, or the answer to a request, is waited for."""
READS: Final = 64
"""Messages that are asked for at once."""

_NAME: Final = re.compile(r"[A-Za-z0-9_-]{1,64}", re.ASCII)
_WRONG_LAST: Final = 10071

_T = TypeVar("_T")


class NatsBroker:
    """The stream at `nats://[USER:PASSWORD@ or TOKEN@]HOST:PORT/STREAM` (`tls://` with TLS). See `Broker`."""

    def __init__(self, url: str) -> None:
        self._address = Address(url, "nats", "tls", tokens=True)
        self._name = self._address.parts.path.removeprefix("/")
        if not _NAME.fullmatch(self._name):
            raise ConfigError(
                "url: the name of the stream has 1 to 64 letters, digits, - and _; write the address as "
                "nats://HOST:4222/STREAM"
            )
        try:
            import nats
        except ModuleNotFoundError:
            raise UsageError("a mirror on NATS needs nats-py: pip install 'retape[nats]'") from None
        self._nats = nats
        self._login = login_of(self._address, tls=self._address.parts.scheme == "tls", tokens=True)
        self._tls = tls_context(self._login) if self._login.tls else None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._conn: Any = None

    @property
    def place(self) -> str:
        """See `Broker`."""
        return self._address.shown

    def open(self, subject: str) -> StreamState:
        """See `Broker`."""
        return self._run(self._open(subject))

    def look(self, subject: str) -> StreamState:
        """See `Broker`."""
        return self._run(self._look(subject))

    def append(self, subject: str, messages: Sequence[Message], after: int) -> None:
        """See `Broker`."""
        self._run(self._append(subject, messages, after))

    def read(self, subject: str, begin: int, count: int) -> list[Stored]:
        """See `Broker`."""
        return self._run(self._read(subject, begin, count))

    def close(self) -> None:
        """See `Broker`."""
        loop, self._loop = self._loop, None
        conn, self._conn = self._conn, None
        if loop is None:
            return
        if conn is not None:
            closing = asyncio.run_coroutine_threadsafe(conn.close(), loop)
            try:
                closing.result(CONNECT_S)
            except Exception:
                closing.cancel()  # the connection is gone, or its server does not answer
        loop.call_soon_threadsafe(loop.stop)

    def _run(self, work: Coroutine[Any, Any, _T]) -> _T:
        """Do work in the loop's thread. After an error the connection is closed."""
        if self._loop is None:
            self._loop = _start_loop()
        waiting = asyncio.run_coroutine_threadsafe(work, self._loop)
        try:
            return waiting.result(2 * CONNECT_S + 2 * ANSWER_S)
        except BaseException as error:
            waiting.cancel()
            self.close()
            if isinstance(error, MirrorError) or not isinstance(error, Exception):
                raise
            raise self._unavailable(error) from error

    def _unavailable(self, error: Exception) -> MirrorUnavailable:
        if isinstance(error, asyncio.TimeoutError | concurrent.futures.TimeoutError):
            words = "it does not answer"
        else:
            words = self._address.hide((str(error) or type(error).__name__).splitlines()[0][:200])
        return MirrorUnavailable(f"{self.place}: the broker is unavailable ({words}); start it, or try again")

    async def _connection(self) -> Any:
        if self._conn is None or self._conn.is_closed:
            parts = self._address.parts
            options: dict[str, Any] = {}
            if self._login.token:
                options = {"token": self._login.token}
            elif self._login.user:
                options = {"user": self._login.user, "password": self._login.password}
            if self._tls is not None:
                options["tls"] = self._tls
            host = parts.netloc.rpartition("@")[2]
            self._conn = await self._connect(f"{parts.scheme}://{host}", options)
        return self._conn

    async def _connect(self, server: str, options: dict[str, Any]) -> Any:
        """Return a connection, or raise the first error: nats-py itself would go on trying for ever."""
        failed: asyncio.Future[Any] = asyncio.get_running_loop().create_future()

        async def fail(error: Exception) -> None:
            if not failed.done():
                failed.set_exception(error)
                failed.exception()  # after the connection was made nothing waits for it

        client = self._nats.NATS()
        made = asyncio.ensure_future(
            client.connect(server, allow_reconnect=False, connect_timeout=CONNECT_S, error_cb=fail, **options)
        )
        done, _ = await asyncio.wait((made, failed), timeout=CONNECT_S, return_when=asyncio.FIRST_COMPLETED)
        if made in done and made.exception() is None:
            return client
        made.cancel()
        with suppress(Exception):  # nats-py leaves the socket of a connection open that was refused
            await asyncio.wait_for(client.close(), CLOSE_S)
        for ended in (made, failed):
            if ended in done:
                ended.result()
        raise TimeoutError

    def _stream(self, kind: str) -> str:
        return self._name if kind == FRAMES else f"{self._name}-{kind}"

    def _subject(self, kind: str) -> str:
        return f"{self._name}.{kind}"

    async def _open(self, kind: str) -> StreamState:
        from nats.js import api, errors

        conn = await self._connection()
        stream = self._stream(kind)
        jetstream = conn.jetstream(timeout=ANSWER_S)
        try:
            info = await jetstream.stream_info(stream)
        except errors.NotFoundError:
            made = api.StreamConfig(
                name=stream,
                description="the journal of a trading engine (retape)",
                subjects=[self._subject(kind)],
                retention=api.RetentionPolicy.LIMITS,
                storage=api.StorageType.FILE,
                max_msgs=-1,
                max_bytes=-1,
                max_age=0,
                discard=api.DiscardPolicy.NEW,
                deny_delete=True,
                deny_purge=True,
            )
            info = await jetstream.add_stream(made)
        except errors.ServiceUnavailableError:
            raise MirrorUnfit(f"{self.place}: this server has no JetStream; start it with -js") from None
        self._check(stream, info.config)
        return self._state(conn, info)

    async def _look(self, kind: str) -> StreamState:
        from nats.js import errors

        conn = await self._connection()
        try:
            info = await conn.jetstream(timeout=ANSWER_S).stream_info(self._stream(kind))
        except errors.NotFoundError:
            raise MirrorOutOfStep(f"{self.place}: there is no stream of this name") from None
        except errors.ServiceUnavailableError:
            raise MirrorUnfit(f"{self.place}: this server has no JetStream; start it with -js") from None
        return self._state(conn, info)

    def _state(self, conn: Any, info: Any) -> StreamState:
        limit = conn.max_payload
        own = info.config.max_msg_size
        if own is not None and own > 0:
            limit = min(limit, own)
        first = info.state.first_seq if info.state.messages else info.state.last_seq + 1
        return StreamState(first, info.state.last_seq, limit)

    def _check(self, stream: str, config: Any) -> None:
        """Raise MirrorUnfit for a stream that could lose or refuse messages."""
        from nats.js import api

        faults = [
            (config.retention != api.RetentionPolicy.LIMITS, f"retention {config.retention}"),
            ((config.max_age or 0) > 0, f"max_age {config.max_age:g} s" if config.max_age else ""),
            ((config.max_msgs or 0) > 0, f"max_msgs {config.max_msgs}"),
            ((config.max_bytes or 0) > 0, f"max_bytes {config.max_bytes}"),
            ((config.max_msgs_per_subject or 0) > 0, f"max_msgs_per_subject {config.max_msgs_per_subject}"),
            (config.storage != api.StorageType.FILE, f"storage {config.storage}"),
            (not config.deny_delete, "no deny_delete"),
            (not config.deny_purge, "no deny_purge"),
            (bool(config.allow_rollup_hdrs), "allow_rollup_hdrs"),
            (bool(config.allow_msg_ttl), "allow_msg_ttl"),
            (bool(config.no_ack), "no_ack"),
            (bool(config.sealed), "sealed"),
            (bool(config.mirror or config.sources), "a source of its own"),
        ]
        if found := [words for wrong, words in faults if wrong]:
            raise MirrorUnfit(
                f"{self.place}: the stream {stream} has {', '.join(found)}, with which it would lose frames; "
                "give the name of a new stream, which is made without limits"
            )

    async def _append(self, kind: str, messages: Sequence[Message], after: int) -> None:
        conn = await self._connection()
        lost = asyncio.get_running_loop().create_future()
        inbox = conn.new_inbox()
        answers: dict[int, dict[str, Any]] = {}

        async def take(answer: Any) -> None:
            number = int(answer.subject.rpartition(".")[2])
            answers[number] = (
                json.loads(answer.data) if answer.data else {"error": {"description": "no stream"}}
            )
            if len(answers) == len(messages) and not lost.done():
                lost.set_result(None)

        subscription = await conn.subscribe(f"{inbox}.*", cb=take)
        try:
            for number, message in enumerate(messages, after):
                headers = {
                    **message.headers,
                    "Nats-Expected-Stream": self._stream(kind),
                    "Nats-Expected-Last-Sequence": str(number),
                }
                await conn.publish(
                    self._subject(kind), message.data, reply=f"{inbox}.{number}", headers=headers
                )
            await conn.flush(ANSWER_S)
            await asyncio.wait_for(lost, ANSWER_S)
        finally:
            if not conn.is_closed:
                await subscription.unsubscribe()
        for number in sorted(answers):
            self._judge(answers[number], number + 1)

    def _judge(self, answer: dict[str, Any], number: int) -> None:
        """Raise an error unless the answer says that a message was stored with this number."""
        error = answer.get("error")
        if error is not None:
            words = str(error.get("description", error))
            if error.get("err_code") == _WRONG_LAST:
                raise Fenced(f"{self.place}: another program has written to the stream ({words})")
            raise MirrorUnavailable(f"{self.place}: the broker does not store a message ({words})")
        if answer.get("duplicate") or answer.get("seq") != number:
            raise MirrorOutOfStep(
                f"{self.place}: the stream no longer holds a message that it has stored; give another stream"
            )

    async def _read(self, kind: str, begin: int, count: int) -> list[Stored]:
        conn = await self._connection()
        end = begin + count
        if count > 1:
            end = min(end, (await self._look(kind)).last + 1)
        found: list[Stored] = []
        for first in range(begin, end, READS):
            some = range(first, min(first + READS, end))
            asked = [self._message(conn, self._stream(kind), number) for number in some]
            found += await asyncio.gather(*asked)
        return found

    async def _message(self, conn: Any, stream: str, number: int) -> Stored:
        request = json.dumps({"seq": number}).encode()
        answer = await conn.request(f"$JS.API.STREAM.MSG.GET.{stream}", request, ANSWER_S)
        found = json.loads(answer.data)
        if (error := found.get("error")) is not None:
            words = error.get("description", error)
            raise MirrorOutOfStep(f"{self.place}: message {number} of {stream} cannot be read ({words})")
        message = found["message"]
        lines = base64.b64decode(message.get("hdrs", "")).decode().split("\r\n")[1:]
        headers = dict(line.split(": ", 1) for line in lines if ": " in line)
        return Stored(number, headers, base64.b64decode(message.get("data", "")))


def _start_loop() -> asyncio.AbstractEventLoop:
    loop = asyncio.new_event_loop()

    def run() -> None:
        loop.run_forever()
        loop.close()

    threading.Thread(target=run, name="mirror", daemon=True).start()
    return loop
