"""The store in Redis on a real server: the promises of every store, newest rows, streams, faults."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from engine.errors import ConfigError
from engine.events import Quote, SignalRaised, Trade
from engine.events.codec import Record
from engine.stores.catchup import catch_up, rebuild
from engine.stores.errors import StoreError, StoreForeign, StoreOutOfStep, StoreUnavailable
from engine.stores.kinds import make_store
from engine.stores.redis import store as module
from engine.stores.redis.store import RedisStore
from engine.stores.rows.tables import SCHEMA_VERSION
from engine.stores.store import Store
from engine.stores.writer import StoreWriter
from tests.profiles import pick
from tests.stores.record_streams import BTC, JOURNAL_ID, T, digest_at, frames_of, reader_of
from tests.stores.servers.redis import Redis
from tests.stores.store_contract import Content, StoreContract, bar, killed_process

MODULES = ("engine.stores.redis.store",)


class TestRedis(StoreContract):
    appends = ("bars:hyperliquid:BTC:1m",)

    @pytest.fixture(autouse=True)
    def _server(self, redis: Redis) -> Iterator[None]:
        self.url = redis.url()
        yield
        import redis as driver

        driver.Redis.from_url(self.url).flushall()

    def make(self, place: Path) -> Store:
        return RedisStore(self.url, prefix=f"test[*]{place}")

    def content(self, place: Path) -> Content:
        found = stored(self.url, f"test[*]{place}")
        return [(name, {**row, "seq": int(row["seq"])}) for name, row in found]

    def killed(self, step: int, work: Callable[[], None], place: Path) -> bool:
        return killed_process(1 + (step - 1) * pick(5, deep=1), work, *MODULES)

    def age(self, place: Path) -> None:
        client, prefix = client_at(self.url), f"test[*]{place}"
        assert client.hdel(f"{prefix}:position:ema:hyperliquid:BTC", "fees")
        client.hset(f"{prefix}:cursor", "version", SCHEMA_VERSION - 1)
        client.set(f"{prefix}:of-an-earlier-version", 1)


def records(count: int) -> list[Record]:
    """Return a day with bars, corrections, trades, quotes, and signals of two strategies."""
    made: list[Record] = [(1, 0, BTC)]
    for seq in range(2, count + 2):
        at = T + seq * 1_000_000
        made.append(
            (
                bar(seq, seq // 4, 100 + seq),
                (seq, 0, Trade(at, at, 1, 4_300_000 + seq, 10, 1, seq)),
                (seq, 0, Quote(at, at, 1, 4_300_000 + seq, 5, 4_300_100 + seq, 6)),
                (seq, 1, SignalRaised(at, f"ema{seq % 8 // 4}", 1, "fast", seq / 8)),
            )[seq % 4]
        )
    return made


def client_of(server: Redis) -> Any:
    return client_at(server.url())


def client_at(url: str) -> Any:
    import redis

    return redis.Redis.from_url(url, decode_responses=True)


def stored(url: str, prefix: str) -> Content:
    """Return (key, row) of every hash, and of every entry of a stream, in order of keys."""
    client, made = client_at(url), []
    for key in sorted(key for key in client.scan_iter(count=1_000) if key.startswith(f"{prefix}:")):
        name = key.removeprefix(f"{prefix}:")
        if name in ("cursor", "writer"):
            continue
        if client.type(key) == "hash":
            made.append((name, client.hgetall(key)))
        else:
            made += [(name, {"id": number, **fields}) for number, fields in client.xrange(key)]
    return made


def followed(store: RedisStore, day: list[Record], size: int = 7, until: int | None = None) -> None:
    with StoreWriter(store, JOURNAL_ID) as writer:
        catch_up(writer, frames_of(day, size)[:until])


def content(store: RedisStore) -> list[Any]:
    return stored(store._address.url, store._prefix)


def test_the_newest_rows_are_read_in_one_step(redis: Redis) -> None:
    day = records(41)
    with StoreWriter(RedisStore(redis.url(), prefix="newest"), JOURNAL_ID) as writer:
        writer.apply(day, seq=42, digest=digest_at(42))
    client = client_of(redis)
    assert client.hget("newest:price:hyperliquid:BTC", "price") == "43000.41"
    assert client.hmget("newest:quote:hyperliquid:BTC", "bid", "ask") == ["43000.42", "43001.42"]
    assert client.hmget("newest:bar:hyperliquid:BTC:1m", "close", "seq") == ["1.4", "40"]
    assert client.hmget("newest:signal:ema0:hyperliquid:BTC:fast", "value", "seq") == ["4.375", "35"]
    assert client.hget("newest:signal:ema1:hyperliquid:BTC:fast", "value") == "4.875"
    assert [number for number, _ in client.xrange("newest:signals", "-", "+", count=2)] == ["3-0", "7-0"]


def test_a_day_that_is_applied_in_large_parts_is_the_same(
    redis: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A batch larger than a script, and streams shorter than a batch."""
    day = records(400)
    made = []
    for name, size, commands in (("one", 500, 2_000), ("two", 3, 2_000), ("three", 90, 7)):
        monkeypatch.setattr(module, "COMMANDS_MAX", commands)
        store = RedisStore(redis.url(), prefix=name, length=20)
        followed(store, day, size)
        made.append(content(store))
    assert made[0] == made[1] == made[2]
    assert client_of(redis).xlen("one:signals") == 20


def test_a_row_never_goes_back(redis: Redis) -> None:
    """Rows ahead of a cursor that was lost stay when the records come again."""
    store, day = RedisStore(redis.url(), prefix="back"), records(100)
    followed(store, day)
    expected, client = content(store), client_of(redis)
    cursor = client.hgetall("back:cursor")
    client.delete("back:cursor")
    followed(RedisStore(redis.url(), prefix="back"), day, until=3)
    assert content(store) == expected
    followed(RedisStore(redis.url(), prefix="back"), day, size=7)
    assert (content(store), client.hgetall("back:cursor")) == (expected, cursor)


def test_keys_that_are_idle_expire_and_the_cursor_does_not(redis: Redis) -> None:
    followed(RedisStore(redis.url(), prefix="idle", expire_s=3600), records(40))
    client = client_of(redis)
    for key in client.scan_iter("idle:*"):
        assert (3_500 < client.ttl(key) <= 3_600) == (key not in ("idle:cursor", "idle:writer")), key


def test_a_writer_that_hangs_is_replaced_and_then_refused(redis: Redis) -> None:
    day = records(30)
    frames = frames_of(day, 7)
    old = StoreWriter(RedisStore(redis.url(), prefix="hung"), JOURNAL_ID)
    catch_up(old, frames[:1])
    client_of(redis).delete("hung:writer")  # what its expiry does
    with StoreWriter(RedisStore(redis.url(), prefix="hung"), JOURNAL_ID):
        with pytest.raises(StoreUnavailable, match="another writer has come") as caught:
            catch_up(old, frames)
        assert caught.value.reason == "locked"
        assert client_of(redis).hget("hung:cursor", "seq") == "7"


def test_a_server_that_lost_its_memory_is_filled_again(own_server: Callable[[str], Redis]) -> None:
    server = own_server("redis")
    server.kill()
    server.appends = False
    server.start()
    store, day = RedisStore(server.url()), records(60)
    frames = frames_of(day, 7)
    writer = StoreWriter(store, JOURNAL_ID)
    catch_up(writer, frames[:5])
    server.kill()
    with pytest.raises(StoreUnavailable, match="unreachable") as caught:
        catch_up(writer, frames)
    assert caught.value.reason == "unreachable"
    server.start()
    with pytest.raises(StoreUnavailable, match="has lost the rows") as caught:
        catch_up(writer, frames)
    assert caught.value.reason == "deleted"
    writer.close()
    rebuild(store, [Path("day")], read=reader_of({"day": frames}))
    with StoreWriter(store, JOURNAL_ID) as again:
        assert again.seq == 61
    other = RedisStore(server.url(), prefix="whole")
    followed(other, day)
    assert content(store) == content(other)


def test_engine_and_server_that_are_killed_in_any_order_leave_each_row_once(
    own_server: Callable[[str], Redis], chance: random.Random
) -> None:
    """Ten ends at random: of the server, of its connections, of the engine within a write."""
    server, day = own_server("redis"), records(600)
    store = RedisStore(server.url(), prefix="killed")
    frames = frames_of(day, 5)
    for _ in range(pick(10, deep=100)):
        end = chance.randrange(1, len(frames) + 1)
        writer = StoreWriter(RedisStore(server.url(), prefix="killed"), JOURNAL_ID)
        seq = writer.read_cursor()
        todo = [frame for frame in frames[: max(end, seq // 5 + 1)] if frame.last_seq >= seq]
        match chance.randrange(3):
            case 0:
                writer.close()
                killed_process(chance.randrange(1, 60), lambda todo=todo: _follow(server, todo), *MODULES)
            case 1:
                catch_up(writer, todo[: len(todo) // 2] or todo)
                server.kill()
                with pytest.raises(StoreUnavailable):
                    writer.apply(day, seq=len(day), digest=frames[-1].digest)
                server.start()
            case _:
                catch_up(writer, todo[: len(todo) // 2] or todo)
                client_of(server).client_kill_filter(_type="normal", skipme=True)
                with pytest.raises(StoreError):
                    writer.apply(day, seq=len(day), digest=frames[-1].digest)
    _follow(server, frames)
    other = RedisStore(server.url(), prefix="whole")
    followed(other, day, 5)
    assert content(store) == content(other)


def _follow(server: Redis, frames: list[Any]) -> None:
    with StoreWriter(RedisStore(server.url(), prefix="killed"), JOURNAL_ID) as writer:
        catch_up(writer, frames)


def test_other_data_is_refused_and_secrets_are_never_shown(redis: Redis, tmp_path: Path) -> None:
    client = client_of(redis)
    client.set("theirs:cursor", "mine")
    with (
        pytest.raises(StoreForeign, match="give another prefix"),
        StoreWriter(RedisStore(redis.url(), prefix="theirs"), JOURNAL_ID),
    ):
        pass
    assert client.get("theirs:cursor") == "mine"
    store = RedisStore(redis.url(password="s3cr3t"))
    with pytest.raises(StoreUnavailable) as caught:
        store.witness()
    assert "s3cr3t" not in str(caught.value) + store.place
    for section in (
        {"url": "http://x"},
        {"url": redis.url(), "length": 0},
        {"url": redis.url(), "prefix": ""},
    ):
        with pytest.raises(ConfigError):
            make_store({"kind": "redis", **section}, tmp_path)


def test_what_the_server_refuses_is_said_with_what_to_do(redis: Redis) -> None:
    client_of(redis).execute_command("ACL", "SETUSER", "reader", "on", ">h1dden-w0rd", "~*", "+@read")
    for login, words in (
        ("reader:wr0ng-w0rd", "refuses the login; correct the user or the password"),
        ("reader:h1dden-w0rd", "refuses a command .*no permissions"),
    ):
        store = RedisStore(redis.url().replace("://", f"://{login}@"), prefix="refused")
        with pytest.raises(StoreUnavailable, match=words) as caught:
            StoreWriter(store, JOURNAL_ID).read_cursor()
        assert login.partition(":")[2] not in str(caught.value)


def test_an_older_state_of_the_server_is_noticed(redis: Redis) -> None:
    """A server that lost its last writes: the records between are missing, and are read from the journal."""
    day = records(60)
    frames = frames_of(day, 10)
    store = RedisStore(redis.url(), prefix="older")
    writer = StoreWriter(store, JOURNAL_ID)
    catch_up(writer, frames[:2])
    client = client_of(redis)
    before = client.hgetall("older:cursor")
    catch_up(writer, frames[:3])
    client.hset("older:cursor", mapping=before)
    with pytest.raises(StoreOutOfStep, match="missing"):
        writer.apply(day[30:40], seq=40, digest=frames[3].digest)
    assert catch_up(writer, frames) == 61
    writer.close()
