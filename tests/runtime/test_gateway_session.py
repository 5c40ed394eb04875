"""A session with real orders and a scripted gateway: sent commands and restarts (I6, O28, C03)."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Sequence
from pathlib import Path

import pytest
import trio
from trio.abc import Clock

from engine.config import Config, StrategyConfig, VenueConfig
from engine.events import (
    AccountRead,
    Event,
    GatewayUp,
    InstrumentListed,
    OrderAccepted,
    OrderCanceled,
    OrderChanged,
    OrderRead,
    QueryOrder,
    SessionStarted,
    SubmitOrder,
)
from engine.events import CancelOrder as Cancel
from engine.events.codec import Derived
from engine.runtime.ingress import Ingress
from engine.runtime.live import STOP_S
from engine.strategies import Strategy, Tick
from engine.venue import Account
from tests.runtime.kit import assert_replays, config, of
from tests.runtime.rig import Rig

FAST = {"idle_ms": 1}


class Resting(Strategy):
    """Requests a resting order on every trade."""

    def on_trade(self, trade: Tick) -> None:
        self.buy("AAA", "0.001", limit="50")


class Scripted:
    """A gateway that answers at once or never, and keeps every command."""

    name = "gateway"

    def __init__(self, answers: bool = True) -> None:
        self.answers = answers
        self.commands: list[Event] = []
        self.account: Account | None = None
        self.rig: Rig | None = None
        self.ingress: Ingress | None = None

    def make(self, rig: Rig) -> Callable[[Sequence[InstrumentListed], Ingress, Account], Scripted]:
        def make_gateway(
            instruments: Sequence[InstrumentListed], ingress: Ingress, account: Account
        ) -> Scripted:
            self.rig, self.ingress, self.account = rig, ingress, account
            return self

        return make_gateway

    def release(self, durable_seq: int, commands: Iterable[Derived]) -> None:
        assert self.rig is not None
        assert self.ingress is not None
        assert durable_seq <= self.rig.live.committer.durable_seq
        now = self.rig.clock.now_ns()
        for seq, _, command in commands:
            assert seq <= durable_seq, "I6: sent before it was durable"
            self.commands.append(command)
            if self.answers and isinstance(command, SubmitOrder):
                self.ingress.put([OrderAccepted(now, now, command.client_order_id, len(self.commands))])
            elif self.answers and isinstance(command, Cancel):
                name = command.client_order_id
                left = next(one.terms.size for one in self.placed if one.client_order_id == name)
                self.ingress.put([OrderCanceled(now, now, name, 1, left, "canceled")])

    @property
    def placed(self) -> list[SubmitOrder]:
        return [one for one in self.commands if isinstance(one, SubmitOrder)]

    async def run(self) -> None:
        assert self.rig is not None
        assert self.ingress is not None
        now = self.rig.clock.now_ns()
        self.ingress.put(
            [GatewayUp(now, "gateway", "0x1", "sandbox"), AccountRead(now, now, "g", 6, 10**12, 10**12, 0, 0)]
        )
        await trio.sleep_forever()


def real(use: str) -> Config:
    return Config(
        mode="live",
        strategies=(StrategyConfig(use=use),),
        venue=VenueConfig(account="0x" + "11" * 20),
    )


async def session(
    root: Path, gateway: Scripted, script: Callable[[Rig], Awaitable[None]], use: str = f"{__name__}:Resting"
) -> Rig:
    rig = Rig(root, real(use), **FAST)
    rig._plan["make_gateway"] = gateway.make(rig)
    await rig.run(script)
    return rig


async def trading(rig: Rig) -> None:
    await trio.sleep(0.05)
    for price in (100, 101, 102):
        await rig.send(price)
        await trio.sleep(0.02)
    await rig.durable()


async def test_i6_commands_are_sent_when_they_are_durable_and_a_stop_cancels_open_orders(
    paced_clock: Clock,
    tmp_path: Path,
) -> None:
    gateway = Scripted()
    rig = await session(tmp_path, gateway, trading)
    assert rig.live.sequencer.session is not None
    assert [one.mode for one in of(SessionStarted, tmp_path)] == ["live"]
    sent = [one for one in gateway.commands if isinstance(one, SubmitOrder)]
    assert sent == of(SubmitOrder, tmp_path)
    assert sent
    canceled = {one.client_order_id for one in gateway.commands if isinstance(one, Cancel)}
    assert canceled == {one.client_order_id for one in sent}
    assert_replays(tmp_path)


async def test_c03_a_restart_queries_open_orders_and_sends_no_order_twice(
    paced_clock: Clock, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(STOP_S, "keep", 0.1)
    silent = Scripted(answers=False)
    await session(tmp_path, silent, trading)
    sent = [one.client_order_id for one in silent.commands if isinstance(one, SubmitOrder)]
    assert sent
    again = Scripted(answers=False)

    async def answering(rig: Rig) -> None:
        with trio.fail_after(300):
            while len([one for one in again.commands if isinstance(one, QueryOrder)]) < len(sent):  # noqa: ASYNC110
                await trio.sleep(0.01)
        far = rig.clock.now_ns() + 3600 * 10**9
        rig.ingress.put([OrderRead(rig.clock.now_ns(), far, name, 1, "absent") for name in sent])
        await rig.durable()

    await session(tmp_path, again, answering)
    queried = [one.client_order_id for one in again.commands if isinstance(one, QueryOrder)]
    assert queried[: len(sent)] == sent, "the queries come first"
    assert not [one for one in again.commands if isinstance(one, SubmitOrder)], "an order was sent twice"
    last = {one.client_order_id: one.state for one in of(OrderChanged, tmp_path)}
    assert {last[name] for name in sent} == {"Rejected"}
    assert again.account is not None
    assert again.account.nonce_floor_ms > max(one.at_ns for one in of(SubmitOrder, tmp_path)) // 10**6
    assert_replays(tmp_path)


async def test_positions_on_paper_are_never_taken_for_real(paced_clock: Clock, tmp_path: Path) -> None:
    async def paper(rig: Rig) -> None:
        await trading(rig)
        await trio.sleep(0.3)

    await Rig(tmp_path, config("Steady"), **FAST).run(paper)
    gateway = Scripted()
    await session(tmp_path, gateway, trading, "tests.runtime.kit:Steady")
    assert not [one for one in gateway.commands if isinstance(one, QueryOrder)]
    assert gateway.placed[0].terms.size == 500, "the whole target: nothing counts as held"
    assert_replays(tmp_path)
