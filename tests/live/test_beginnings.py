"""A strategy that begins without its state while its book holds something: refused with real orders."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from trio.abc import Clock

from engine.errors import EngineError, SafetyRefusal, UsageError, error_in
from engine.events import FillBooked, OperatorCommand, StrategyBegan
from engine.runtime.live import Live
from tests.live.kit import of
from tests.live.stage import Stage, books, staged

CALLS = "1: target 1; 2: stop sell 1 97; 3: target 1"
EDITED = f"{CALLS}; 4: target 0"


async def nothing(live: Live) -> None:
    """Leave the strategies alone."""


async def hold(stage: Stage, root: Path) -> None:
    """Run a session that leaves a position of 1 and its stop at 97."""

    async def script(live: Live) -> None:
        await stage.signal(1)
        await stage.signal(2)

    await stage.trade(root, {"Long": CALLS}, script)
    assert await stage.position() == 1


def written(root: Path) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in root.rglob("*.seg")}


async def refusal(stage: Stage, root: Path, scripts: dict[str, str], **options: Any) -> EngineError:
    """Return the error of a start that is refused. Nothing may be written."""
    before = written(root)
    with pytest.raises(BaseException) as caught:
        await stage.trade(root, scripts, nothing, **options)
    assert written(root) == before
    value = caught.value
    error = error_in(value) if isinstance(value, BaseExceptionGroup) else value
    assert isinstance(error, EngineError)
    return error


async def test_an_edited_strategy_with_a_position_needs_a_word_and_then_buys_nothing_twice(
    paced_clock: Clock, tmp_path: Path
) -> None:
    async with staged() as stage:
        await hold(stage, tmp_path)
        error = await refusal(stage, tmp_path, {"Long": EDITED})
        assert isinstance(error, SafetyRefusal)
        assert error.exit_code == 6
        assert str(error) == (
            "strategy Long: begins without its state: its parameters changed; its book holds 1 BTC. "
            "--fresh Long keeps the position and starts so; --move OLD=NEW gives what OLD holds to NEW"
        )

        async def again(live: Live) -> None:
            await stage.signal(3)
            await stage.wait(2)

        result = await stage.trade(tmp_path, {"Long": EDITED}, again, fresh=("Long",))
        assert await stage.position() == 1, "target(1) sends nothing"
        (left,) = result.positions
        assert (left.owner, left.size, len(left.protected_by)) == ("Long", "1", 1)
        (began,) = of(StrategyBegan, tmp_path)
        assert (began.name, began.why) == ("Long", "its parameters changed")
        assert len(of(FillBooked, tmp_path)) == 1
        assert [one for one in stage.said if " reset " in one] == [
            "strategy Long reset begins without its state: its parameters changed; its book holds 1 BTC"
        ]

        async def close(live: Live) -> None:
            await stage.signal(4)
            await stage.wait(2)

        await stage.trade(tmp_path, {"Long": EDITED}, close)
        assert await stage.position() == 0


async def test_a_renamed_strategy_needs_a_word_too_and_takes_over_by_a_move(
    paced_clock: Clock, tmp_path: Path
) -> None:
    async with staged() as stage:
        await hold(stage, tmp_path)
        error = await refusal(stage, tmp_path, {"Renamed": CALLS})
        assert isinstance(error, SafetyRefusal)
        assert str(error).startswith(
            "book Long: no strategy of this name is configured; its book holds 1 BTC. --fresh Long"
        )

        async def gap(live: Live) -> None:
            await stage.signal(3)
            await stage.wait(2)
            assert await stage.position() == 1
            await stage.price(95)

        await stage.trade(tmp_path, {"Renamed": CALLS}, gap, moves=(("Long", "Renamed"),))
        assert await stage.position() == 0, "the stop sold for the new name"
    assert books(tmp_path) == {}
    assert not of(StrategyBegan, tmp_path), "it has its state too"


async def test_names_that_do_not_fit_are_refused(paced_clock: Clock, tmp_path: Path) -> None:
    async with staged() as stage:
        await hold(stage, tmp_path)
        for options, words in (
            ({"fresh": ("Lang",)}, "--fresh Lang: there is no such strategy; did you mean Long?"),
            ({"moves": (("Long", "Shrt"),)}, "no strategy is named 'Shrt'; did you mean Short?"),
            ({"moves": (("Long", "Short"),)}, "'Long' is configured too"),
            ({"moves": (("Nobody", "Short"),)}, "has no book of 'Nobody'"),
        ):
            error = await refusal(stage, tmp_path, {"Long": CALLS, "Short": CALLS}, **options)
            assert isinstance(error, UsageError)
            assert words in str(error)


async def test_a_halted_market_and_a_paused_strategy_are_named_at_once_and_at_the_next_start(
    paced_clock: Clock, tmp_path: Path
) -> None:
    scripts = {"Long": "1: target 1", "Short": "2: target 0"}
    async with staged() as stage:
        await stage.others("sell", "5")

        async def script(live: Live) -> None:
            live.ingress.put([OperatorCommand(live.sequencer.now_ns, "pause", "Short")])
            await stage.wait(2)

        result = await stage.trade(tmp_path, scripts, script)
        reason = result.halted_markets["BTC"]
        assert result.paused == ["Short"]
        assert f"BTC halted {reason}" in stage.said, "at once"
        stage.said.clear()
        await stage.trade(tmp_path, scripts, nothing)
        assert [one for one in stage.said if "ctl resume" in one] == [
            f"BTC halted {reason}; `engine ctl resume` lifts it",
            "strategy Short halted paused by an operator; `engine ctl resume` lifts it",
        ]
        stage.said.clear()
        result = await stage.trade(tmp_path, scripts, nothing, resume=True)
        assert not [one for one in stage.said if "ctl resume" in one]
        assert (result.halted_markets, result.paused) == ({}, [])


async def test_on_paper_it_is_a_warning(paced_clock: Clock, tmp_path: Path) -> None:
    async with staged() as stage:

        async def script(live: Live) -> None:
            await stage.signal(1)
            await stage.wait(2)
            await stage.price(100)
            await stage.wait(2)

        await stage.trade(tmp_path, {"Long": CALLS}, script, paper=True)

        async def again(live: Live) -> None:
            await stage.signal(3)
            await stage.wait(2)

        result = await stage.trade(tmp_path, {"Long": EDITED}, again, paper=True)
        assert [(one.owner, one.size) for one in result.positions] == [("Long", "1")]
        assert [one for one in stage.said if " reset " in one] == [
            "strategy Long reset begins without its state: its parameters changed; its book holds 1 BTC"
        ]
    assert len(of(FillBooked, tmp_path)) == 1
