"""Sessions under each kind of fault: the journal and the venue agree, and the days replay identical.

During the faults no order or fill may be duplicated or lost. After they end, the state of every order becomes
known (I5, I7, I10, I13). Chance decides when a fault hits; each kind is also armed three times.
"""

from __future__ import annotations

from pathlib import Path

import pytest
import trio
from trio.abc import Clock

from engine.events import EngineHalted, MarketHalted, OrderFilled, OrderUnknown, SubmitOrder
from engine.runtime.live import Live
from tests.live.kit import assert_agrees, bars_against_candles, config, of, serving, trade
from tests.profiles import pick

SPEED = pick(30, deep=60)
SECONDS = pick(3, deep=30)
HITS = 3
CALM_S = pick(1, deep=3)
ORDERS_MIN = 11
PATIENCE_S = 60.0

FAULTS = {
    "n16_server_errors": "5xx:0.3@exchange,5xx:0.2@info",
    "n15_too_many_requests": "429:0.3@exchange",
    "o01_lost_replies": "lost-reply:0.3@exchange",
    "o12_swallowed_orders": "swallow:0.3@exchange",
    "o01_late_replies": "late-reply:0.2/5500@exchange",
    "n11_lost_account_frames": "drop:0.3@user",
    "n10_doubled_frames": "duplicate:0.3",
    "n10_reordered_frames": "reorder:0.3",
    "n09_late_frames": "delay:0.05/300",
    "n06_silent_channels": "silent:0.02@user",
    "n04_half_open": "half-open:0.02@user",
    "n03_cut_connections": "cut:0.02@user,cut:0.001@market",
    "n02_restarted_venue": "restart:0.002/500@market",
    "f06_silent_market": "silent:0.002@market",
    "everything": "lost-reply:0.1@exchange,5xx:0.1@exchange,drop:0.1@user,duplicate:0.1,cut:0.005@user",
}


def kinds_of(spec: str) -> list[tuple[str, str, int | None]]:
    """Return kind, scope and duration in ms of each entry of a specification."""
    found = []
    for entry in spec.split(","):
        what, _, scope = entry.partition("@")
        kind, _, rest = what.partition(":")
        _, _, ms = rest.partition("/")
        found.append((kind, scope, int(ms) if ms else None))
    return found


@pytest.mark.parametrize("name", FAULTS)
async def test_real_orders_survive(paced_clock: Clock, tmp_path: Path, name: str) -> None:
    kinds = kinds_of(FAULTS[name])
    async with serving(speed=SPEED, maker=True, faults=FAULTS[name], seed=7) as venue:

        async def script(live: Live) -> None:
            # Faults may delay the first order by minutes of sandbox time.
            while not live.effects.released:  # noqa: ASYNC110
                await trio.sleep(0.01)
            for _ in range(HITS):
                await trio.sleep(SECONDS / (HITS + 1))
                for kind, scope, ms in kinds:
                    venue.sandbox.faults.arm(kind, scope=scope, ms=ms)
            await trio.sleep(SECONDS / (HITS + 1))
            venue.sandbox.faults.disarm()
            # Restarts in a row leave the feed waiting for up to half a minute, half an hour of sandbox time.
            with trio.fail_after(PATIENCE_S):
                while len(of(SubmitOrder, tmp_path)) < ORDERS_MIN:  # noqa: ASYNC110
                    await trio.sleep(0.25)
            # A reordered frame that is lost with its connection cannot be noticed by a client.
            if "reorder" not in FAULTS[name]:
                venue.sandbox.drop_connections()
            await trio.sleep(CALM_S)

        settings = config(on_stop="flatten", answer_ms=500, expires_ms=2000)
        result = await trade(tmp_path, venue, settings, script)
        assert all(venue.sandbox.faults.fired[kind] > 0 for kind, _, _ in kinds), "a fault never fired"
        assert result.live_orders == 0, "the state of an order is still unknown"
        assert result.owed == []
        assert result.positions == []
        assert await venue.positions() == {}, "no exit is lost"
        await assert_agrees(tmp_path, venue)
        await bars_against_candles(tmp_path, venue)
    assert len(of(SubmitOrder, tmp_path)) >= ORDERS_MIN
    assert of(OrderFilled, tmp_path)
    assert not of(MarketHalted, tmp_path)
    halts = [one.reason for one in of(EngineHalted, tmp_path)]
    assert halts == ["operator: stop"]
    if name.startswith(("o01", "o12", "n16")):
        assert of(OrderUnknown, tmp_path)
