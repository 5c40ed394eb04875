"""`engine sandbox`: its options, and its report at the end."""

from __future__ import annotations

import json
import signal

import httpx
import pytest

from .kit import PATIENCE_S, engine, start

ADDRESS = "0x" + "ab" * 20


def test_options_set_accounts_limits_and_faults() -> None:
    options = ["--account", f"{ADDRESS}:250.5", "--volume", f"{ADDRESS}:2000000", "--rate-limit", "off"]
    run = start("sandbox", "--port", 0, "--json", "--maker", *options, "--faults", "5xx:1@exchange")
    try:
        assert run.stdout is not None
        url = json.loads(run.stdout.readline())["base_url"]
        with httpx.Client(base_url=url, trust_env=False, verify=False) as client:
            state = client.post("/info", json={"type": "clearinghouseState", "user": ADDRESS}).json()
            assert state["marginSummary"]["accountValue"] == "250.5"
            rate = client.post("/info", json={"type": "userRateLimit", "user": ADDRESS}).json()
            assert rate["nRequestsCap"] == 10_000 + 2_000_000
            assert client.post("/exchange", json={}).status_code >= 500
            for _ in range(25):  # 1500 of weight
                assert client.post("/info", json={"type": "userRole", "user": ADDRESS}).status_code == 200
        run.send_signal(signal.SIGTERM)
        out, err = run.communicate(timeout=PATIENCE_S)
        assert (run.returncode, out, json.loads(err)) == (0, "", {"faults": {"5xx": 1}})
    finally:
        run.kill()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--account", ADDRESS], "--account"),
        (["--account", "0xabc:5"], "--account"),
        (["--account", f"{ADDRESS}:five"], "--account"),
        (["--venue", "hyperliquid", "--venue", "kraken", "--account", f"{ADDRESS}:5"], "hyperliquid=..."),
        (["--venue", "hyperliquid", "--venue", "kraken", "--account", f"kraken={ADDRESS}:5"], "kraken"),
        (["--volume", f"{ADDRESS}:5"], "no --account has this address"),
        (["--faults", "explode:1"], "unknown fault 'explode'"),
        (["--faults", "drop:1@exchange"], "choose one of: market, user, ws"),
        (["--rate-limit", "maybe"], "--rate-limit"),
        (["--network", "devnet"], "--network"),
        (["--tape", "journal", "--maker"], "--maker"),
    ],
)
def test_invalid_options_are_reported(options: list[str], message: str) -> None:
    done = engine("sandbox", "--port", 0, *options)
    assert done.code == 2
    assert message in done.err
