"""`engine live --raw` and `engine replay DAY --from-raw`: decode the received messages again and compare."""

from __future__ import annotations

import json
import signal
from pathlib import Path

import zstandard

from engine.events import FeedDown, Trade
from tests.commands.kit import FAST, as_json, engine, sandbox, start, trade_until, wait_for

CHANNELS = '\n[data]\nchannels = ["l2BookFast", "candle", "activeAssetCtx", "allMids"]\n'


def compared(day: Path, code: int = 0) -> dict[str, object]:
    done = engine("replay", day, "--from-raw", "--json")
    assert done.code == code, (done.out, done.err)
    found: dict[str, object] = json.loads(done.out)
    return found


def rewrite(folder: Path, old: bytes, new: bytes) -> None:
    """Change every `old` in the second half of the newest raw file that has one there."""
    for path in sorted(folder.glob("*.zst"), reverse=True):
        with path.open("rb") as file:
            text = zstandard.ZstdDecompressor().stream_reader(file, read_across_frames=True).read()
        half = len(text) // 2
        if old in text[half:]:
            changed = text[:half] + text[half:].replace(old, new)
            path.write_bytes(zstandard.ZstdCompressor().compress(changed))
            return
    raise AssertionError(f"no raw file in {folder} has {old!r} in its second half")


def test_raw_frames_of_a_session_with_faults_decode_to_what_the_journal_holds(tmp_path: Path) -> None:
    """Dropped connections, a kill, a second session; then some messages are altered."""
    root, config = tmp_path / "journal", tmp_path / "fast.toml"
    config.write_text(FAST + CHANNELS, encoding="utf-8")
    with sandbox("--speed", 20, "--drop-every", 3, "--history", 600, "--clock", "now") as url:
        live = ["live", "--raw", "--venue", "hyperliquid", "--base-url", url]
        live += ["--journal", root, "--config", config, "--instruments", "BTC"]
        process = start(*live)
        wait_for(process, root, FeedDown, 2)
        process.send_signal(signal.SIGKILL)
        process.communicate()
        assert trade_until(root, {Trade: 200}, *live[1:]).code == 0
    days = sorted(path for path in root.iterdir() if path.name[0] == "2")
    for day in days:
        found = compared(day)
        assert found["same"], found
        assert found["frames"] > 100  # type: ignore[operator]
        assert found["equal"] > 100  # type: ignore[operator]
    day = days[-1]
    assert as_json(engine("replay", day, "--json"))["identical"]
    assert as_json(engine("journal", "verify", day, "--json"))
    rewrite(root / "raw" / day.name, b'"side":"B"', b'"side":"A"')
    found = compared(day, 3)
    first = found["first"]
    assert isinstance(first, dict)
    assert first["kind"] == "differs"
    assert first["number"] > 0
    assert first["recorded"]["aggressor"] == "buy"
    assert first["decoded"]["aggressor"] == "sell"
    shown = engine("replay", day, "--from-raw")
    assert shown.code == 3
    assert "decodes differently" in shown.out


def test_a_day_without_raw_frames_is_a_usage_error(traded: Path) -> None:
    done = engine("replay", traded, "--from-raw")
    assert done.code == 2
    assert "engine live --raw" in done.err
    done = engine("replay", traded, "--from-raw", "--until", "5")
    assert done.code == 2
    assert "--until" in done.err
