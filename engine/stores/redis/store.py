"""The store in Redis: the newest row of each key for reads in one step, and bounded streams.

Owns the keys under its prefix. Promises, in addition to those of every store:

- The rows of a batch and the cursor are written by one Lua script, which does nothing if the cursor is not
  the one that was read, or another writer has come. A large batch is cut into several scripts; the last one
  moves the cursor, and entries that come again are refused by their rank or id (`entries.py`).
- A hash is replaced as a whole, and never by an older row.
- One writer: its connection has a name, which is also the value of `PREFIX:writer`. Another writer takes over
  when no connection has this name any more, or after LOCK_S without a write.
- No wait is longer than WAIT_S. A server that has lost its memory is noticed and filled again.

The client is redis-py: a projector calls a store in a worker thread, where a plain socket is the least that
works; a client for an event loop would need a loop of its own in that thread. Registered as "redis".
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing, contextmanager
from itertools import islice
from pathlib import Path
from typing import Any, Final, TypeVar

import msgspec

from engine.errors import ConfigError, UsageError
from engine.stores.errors import StoreForeign, StoreOutdated, StoreUnavailable, first_line
from engine.stores.kinds import StoreKind
from engine.stores.redis.entries import TABLES_HELD, Entries, entries_of
from engine.stores.redis.reading import RedisSnapshot
from engine.stores.rows.tables import SCHEMA_VERSION
from engine.stores.rows.units import as_text
from engine.stores.settings import Address
from engine.stores.store import Cursor, Row, Rows, Store

__all__ = ["REDIS", "RedisSettings", "RedisStore"]

T = TypeVar("T")

WAIT_S: Final = 5.0
LOCK_S: Final = 60
COMMANDS_MAX: Final = 2_000
"""Entries that one script writes: Redis serves no other client meanwhile."""

_WRITE: Final = """
if redis.call('GET', KEYS[2]) ~= ARGV[1] then return 'writer' end
if (redis.call('HGET', KEYS[1], 'seq') or '') ~= ARGV[2] then return 'moved' end
redis.call('EXPIRE', KEYS[2], ARGV[3])
for _, one in ipairs(cjson.decode(ARGV[5])) do
    local key = one[2]
    if one[1] == 'hash' then
        local before = redis.call('HGET', key, 'rank')
        if not before or before <= one[3] then
            redis.call('DEL', key)
            redis.call('HSET', key, 'rank', one[3], unpack(one[4]))
            if ARGV[4] ~= '0' then redis.call('EXPIRE', key, ARGV[4]) end
        end
    else
        local added = redis.pcall('XADD', key, 'MAXLEN', '=', one[5], one[3] .. '-0', unpack(one[4]))
        if type(added) == 'table' and added.err and not string.find(added.err, 'equal or smaller') then
            return added
        end
        if ARGV[4] ~= '0' then redis.call('EXPIRE', key, ARGV[4]) end
    end
end
local cursor = cjson.decode(ARGV[6])
if #cursor > 0 then redis.call('HSET', KEYS[1], unpack(cursor)) end
return 'written'
"""
_RELEASE: Final = "if redis.call('GET', KEYS[1]) == ARGV[1] then return redis.call('DEL', KEYS[1]) end"


class RedisStore:
    """The keys of one journal under a prefix. `length` bounds each stream, `expire_s` what is idle."""

    kind = "redis"
    remedy = "give another prefix, or rebuild it with `engine project`"
    tables = TABLES_HELD
    number = staticmethod(as_text)

    def __init__(self, url: str, *, prefix: str = "retape", length: int = 10_000, expire_s: int = 0) -> None:
        self._address = Address(url, "redis", "rediss")
        self.place = f"{self._address.shown} {prefix}:"
        self._prefix = prefix
        self._length = length
        self._expire_s = expire_s
        self._client: Any = None  # redis-py is only there with the extra
        self._name = ""
        self._had_rows = False

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """See `Store`. What is written is in one script; nothing else is undone."""
        with self._errors():
            if self._client is None:
                self._open()
            yield

    def cursor(self) -> Cursor | None:
        """See `Store`."""
        cursor = self._read_cursor(self._opened())
        if cursor is None and self._had_rows:
            raise StoreUnavailable(
                f"{self.place}: the server has lost the rows; {self.remedy}", reason="deleted"
            )
        self._had_rows = cursor is not None
        return cursor

    def instruments(self) -> Iterable[Row]:
        """See `Store`."""
        found = self._opened().hget(self._key("cursor"), "instruments")
        return [] if found is None else msgspec.json.decode(found, type=dict[str, Row]).values()

    def row(self, table: str, key: str) -> Row | None:
        """See `RowSource`. Always None: no row here depends on an earlier one."""
        return None

    def trade_ids(self, client_order_id: str) -> dict[str, int]:
        """See `RowSource`. Always empty: there are no fills."""
        return {}

    def write(self, rows: Rows, cursor: Cursor | None) -> None:
        """See `Store`."""
        entries = entries_of(rows, self._length)
        if cursor is None:
            return
        before = self._opened().hmget(self._key("cursor"), "seq", "instruments")
        listed = {} if before[1] is None else msgspec.json.decode(before[1], type=dict[str, Row])
        listed |= {str(key): row for key, row in rows.changed.get("instruments", {}).items()}
        parts = list(_parts(self._commands(entries), COMMANDS_MAX)) or [[]]
        for part in parts[:-1]:
            self._write(before[0] or b"", part, [])
        fields = {
            "version": SCHEMA_VERSION,
            "journal_id": cursor.journal_id.hex(),
            "seq": cursor.seq,
            "digest": cursor.digest.hex(),
            "epoch": cursor.epoch,
            "instruments": msgspec.json.encode(listed).decode(),
        }
        self._write(before[0] or b"", parts[-1], [str(part) for pair in fields.items() for part in pair])
        self._had_rows = True

    def witness(self) -> Cursor | None:
        """See `Store`."""
        with self._errors():
            client = self._connect("")
            try:
                return self._read_cursor(client)
            finally:
                client.close()

    def rebuild(self, fill: Callable[[Store], int]) -> int:
        """See `Store`. Removes the keys first: what they hold is there again after the newest records."""
        self.close()
        with self.transaction():
            client = self._opened()
            client.delete(self._key("cursor"))
            for keys in _parts(client.scan_iter(f"{_glob(self._prefix)}:*", count=1_000), 1_000):
                ours = [key for key in keys if key.decode() != self._key("writer")]
                if ours:
                    client.unlink(*ours)
            self._had_rows = False
        try:
            return fill(self)
        finally:
            self.close()

    def close(self) -> None:
        """See `Store`."""
        client, self._client = self._client, None
        if client is None:
            return
        with self._errors():
            try:
                client.eval(_RELEASE, 1, self._key("writer"), self._name)
            finally:
                client.close()

    @contextmanager
    def snapshot(self) -> Iterator[RedisSnapshot]:
        """See `engine.stores.checking.Checkable`. The cursor is read first; newer rows are known by it."""
        with self._errors(), closing(self._connect("")) as client:
            cursor = self._read_cursor(client)
            instruments = client.hget(self._key("cursor"), "instruments")
            found = RedisSnapshot(cursor, instruments, length=self._length, expires=self._expire_s > 0)
            for key in client.scan_iter(f"{_glob(self._prefix)}:*", count=1_000):
                name = key.decode().removeprefix(f"{self._prefix}:")
                if found.is_hash(name):
                    found.add_hash(name, _decoded(client.hgetall(key)))
                elif found.is_stream(name):
                    found.add_stream(name, [_decoded(fields) for _, fields in client.xrange(key)])
        yield found

    def _commands(self, entries: Entries) -> Iterator[list[object]]:
        for key, (rank, fields) in entries.hashes.items():
            yield ["hash", self._key(key), rank, fields]
        for key, added in entries.streams.items():
            for seq, fields in added:
                yield ["entry", self._key(key), str(seq), fields, str(self._length)]

    def _write(self, before: bytes, commands: Iterable[list[object]], cursor: list[str]) -> None:
        keys = (self._key("cursor"), self._key("writer"))
        encoded = msgspec.json.encode(list(commands)), msgspec.json.encode(cursor)
        found = self._opened().eval(_WRITE, 2, *keys, self._name, before, LOCK_S, self._expire_s, *encoded)
        if found != b"written":
            raise self._locked("another writer has come")

    # The server.

    def _opened(self) -> Any:
        assert self._client is not None, "called in a transaction"
        return self._client

    def _key(self, name: str) -> str:
        return f"{self._prefix}:{name}"

    def _open(self) -> None:
        self._name = f"retape-{secrets.token_hex(8)}"
        client = self._connect(self._name)
        try:
            key = self._key("writer")
            while not client.set(key, self._name, nx=True, ex=LOCK_S):
                other = client.get(key)
                if other is not None and self._is_connected(client, other):
                    raise self._locked("the store already has a writer; stop that one first")
                if other is not None:
                    client.eval(_RELEASE, 1, key, other)
            if client.type(self._key("cursor")) not in (b"none", b"hash"):
                raise StoreForeign(f"{self.place}: holds other data; give another prefix")
            self._client = client
        except BaseException:
            client.close()
            raise

    def _connect(self, name: str) -> Any:
        try:
            import redis
            from redis.backoff import NoBackoff
            from redis.retry import Retry
        except ModuleNotFoundError:
            raise UsageError("a store of kind 'redis' needs redis-py: pip install 'retape[redis]'") from None

        # A script is never sent again by the client: it may have run.
        return redis.Redis.from_url(
            self._address.url,
            client_name=name or None,
            socket_timeout=WAIT_S,
            socket_connect_timeout=WAIT_S,
            socket_keepalive=True,
            single_connection_client=True,
            protocol=2,
            retry=Retry(NoBackoff(), 0),
        )

    def _is_connected(self, client: Any, name: bytes) -> bool:
        """Return whether a writer of this name is connected. Where this may not be asked, it is."""
        import redis

        try:
            clients: list[dict[str, str]] = client.client_list()
        except redis.ResponseError:
            return True
        return any(one["name"] == name.decode() for one in clients)

    def _read_cursor(self, client: Any) -> Cursor | None:
        names = ("version", "journal_id", "seq", "digest", "epoch")
        found: list[Any] = client.hmget(self._key("cursor"), *names)
        if found[2] is None:
            return None
        version, journal_id, seq, digest, epoch = (value.decode() for value in found)
        if version != str(SCHEMA_VERSION):
            raise StoreOutdated(
                f"{self.place}: its rows are of version {version}, not {SCHEMA_VERSION}; {self.remedy}"
            )
        return Cursor(bytes.fromhex(journal_id), int(seq), bytes.fromhex(digest), int(epoch))

    def _locked(self, what: str) -> StoreUnavailable:
        return StoreUnavailable(f"{self.place}: {what}", reason="locked")

    @contextmanager
    def _errors(self) -> Iterator[None]:
        try:
            yield
        except (UsageError, StoreUnavailable):
            raise
        except Exception as error:
            import redis

            if not isinstance(error, redis.RedisError | OSError):
                raise
            full = isinstance(error, redis.OutOfMemoryError)
            what = "the server's memory is full" if full else "the server is unreachable"
            if isinstance(error, redis.AuthenticationError):
                what = "the server refuses the login; correct the user or the password of the address"
            elif isinstance(error, redis.ResponseError) and not full:
                what = "the server refuses a command"
            why = self._address.hide(first_line(error))
            raise StoreUnavailable(
                f"{self.place}: {what} ({why}); the next attempt follows",
                reason="full" if full else "unreachable",
            ) from error


def _parts(items: Iterable[T], size: int) -> Iterator[list[T]]:
    """Yield the items in lists of at most this size."""
    rest = iter(items)
    while part := list(islice(rest, size)):
        yield part


def _glob(text: str) -> str:
    """Return a pattern that matches this text only."""
    return "".join(f"\\{char}" if char in "*?[]\\^" else char for char in text)


def _decoded(fields: dict[bytes, bytes]) -> Row:
    return {name.decode(): value.decode() for name, value in fields.items()}


class RedisSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The keys of a Redis store. `url` is the address, `prefix` begins the name of every key.

    `length`: entries that a stream keeps. `expire_s`: seconds after which a key that is not written any more
    is removed; 0 means never.
    """

    url: str
    prefix: str = "retape"
    length: int = 10_000
    expire_s: int = 0


def _from_settings(settings: RedisSettings, root: Path) -> RedisStore:
    if settings.length < 1 or settings.expire_s < 0:
        raise ConfigError("length: must be at least 1, and expire_s at least 0")
    if not settings.prefix:
        raise ConfigError("prefix: must not be empty")
    return RedisStore(
        settings.url, prefix=settings.prefix, length=settings.length, expire_s=settings.expire_s
    )


REDIS: Final = StoreKind(RedisSettings, _from_settings)
