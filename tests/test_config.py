"""The configuration: every key has a default, an unknown key is refused, the recorded text is canonical."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.config import (
    AccountConfig,
    BarsConfig,
    Config,
    PaperConfig,
    ReportConfig,
    RiskConfig,
    StrategyConfig,
    load_config,
    nearest,
    parse_config,
)
from engine.config.naming import resolve_names
from engine.errors import ConfigError, UsageError
from engine.events import InstrumentListed

money = st.integers(0, 10**9).map(str)
names = st.text(st.characters(codec="ascii", categories=["L"]), min_size=1, max_size=6)
configs = st.builds(
    Config,
    instruments=st.lists(names, max_size=3).map(tuple),
    strategies=st.lists(
        st.builds(
            StrategyConfig,
            use=names.map("a.b:{}".format),
            params=st.dictionaries(
                names,
                st.integers(-(2**53), 2**53)
                | st.booleans()
                | names
                | st.floats(allow_nan=False, allow_infinity=False),
                max_size=3,
            ),
            instruments=st.lists(names, max_size=2).map(tuple),
            on_failure=st.sampled_from(["halt", "quarantine"]),
        ),
        max_size=3,
        unique_by=lambda entry: entry.title,
    ).map(tuple),
    bars=st.builds(
        BarsConfig, st.sampled_from([("1m",), ("1s", "5s", "1d"), ("5m", "15m")]), st.integers(0, 3_600_000)
    ),
    risk=st.builds(RiskConfig, money, money, st.integers(0, 1000), st.dictionaries(names, money, max_size=2)),
    paper=st.builds(PaperConfig, st.integers(0, 60_000)),
    account=st.builds(AccountConfig, money),
)


@given(configs)
def test_canonical_text_reads_back_as_the_same_configuration(config: Config) -> None:
    text = config.canonical()
    found = parse_config(text)
    assert found == config
    assert found.canonical() == text
    kept = [entry.params for entry in found.strategies]
    assert kept == [entry.params for entry in config.strategies]


def test_what_reports_assume_is_read_and_not_recorded() -> None:
    config = parse_config({"report": {"annualise": 252, "risk_free_percent": "-0.5"}})
    assert config.report == ReportConfig(252, "-0.5")
    assert config.canonical() == Config().canonical()
    assert "report" not in config.canonical()


@pytest.mark.parametrize(
    ("section", "error"),
    [
        ({"annualise": 0}, "report.annualise: 0 is out of range (1 to 366)"),
        ({"risk_free_percent": "many"}, "report.risk_free_percent: 'many' is not a plain decimal number"),
        ({"risk_free_percent": "-100"}, "report.risk_free_percent: -100 is out of range"),
        ({"rate": "1"}, "there is no key 'report.rate'"),
    ],
)
def test_what_no_report_can_assume_is_refused(section: dict[str, Any], error: str) -> None:
    with pytest.raises(ConfigError, match=re.escape(error)):
        parse_config({"report": section})


def test_very_large_sizes_and_sizes_with_many_decimals_are_accepted() -> None:
    sizes = {"kPEPE": "50000000000", "BTC": "0.000000000000001"}
    assert parse_config({"risk": {"max_order_size": sizes}}).risk.max_order_size == sizes


@given(st.permutations(["fast", "slow", "interval"]))
def test_equal_configurations_have_equal_text_whatever_the_order_of_keys(order: list[str]) -> None:
    values = {"fast": 3, "slow": 5, "interval": "1m"}
    one = Config(strategies=(StrategyConfig(params={key: values[key] for key in order}),))  # type: ignore[misc]
    other = Config(strategies=(StrategyConfig(params=dict(sorted(values.items()))),))  # type: ignore[arg-type]
    assert one.canonical() == other.canonical()


def test_an_empty_configuration_has_the_defaults() -> None:
    config = parse_config({})
    assert config == Config()
    assert config.strategies[0].title == "Crossover"
    assert parse_config(config.canonical()) == config


UNKNOWN = [
    ({"instrument": ["BTC"]}, "'instrument'", "instruments"),
    ({"bar": {}}, "'bar'", "bars"),
    ({"bars": {"interval": ["1m"]}}, "'bars.interval'", "intervals"),
    ({"risk": {"max_order_notionl": "1"}}, "'risk.max_order_notionl'", "max_order_notional"),
    ({"paper": {"latency": 1}}, "'paper.latency'", "latency_ms"),
    ({"account": {"cahs": "1"}}, "'account.cahs'", "cash"),
    ({"strategies": [{"uses": "a:B"}]}, "'strategies.uses'", "use"),
    ({"strategies": [{"use": "a:B"}, {"parms": {}}]}, "'strategies.parms'", "params"),
    ({"zzzzzzzz": 1}, "'zzzzzzzz'", "known: account, accounts, bars, data, flow, instruments"),
]


@pytest.mark.parametrize(("data", "key", "hint"), UNKNOWN)
def test_an_unknown_key_anywhere_is_refused_with_the_nearest_names(data: Any, key: str, hint: str) -> None:
    for given_as in (data, msgspec.json.encode(data).decode()):
        with pytest.raises(ConfigError) as caught:
            parse_config(given_as)
        assert f"there is no key {key}" in str(caught.value)
        assert hint in str(caught.value)
        assert caught.value.exit_code == 2


BAD = [
    ({"bars": {"intervals": ["7m"]}}, "bars.intervals: '7m' is not a bar interval"),
    ({"bars": {"intervals": []}}, "bars.intervals: give at least one"),
    ({"bars": {"intervals": ["3m", "5m"]}}, "each a multiple of the shortest"),
    ({"bars": {"grace_ms": -1}}, "bars.grace_ms: -1 is out of range"),
    ({"bars": {"grace_ms": 3_600_001}}, "bars.grace_ms"),
    ({"bars": {"grace_ms": "1"}}, "bars.grace_ms"),
    ({"bars": {"grace_ms": 1.5}}, "bars.grace_ms"),
    ({"bars": 5}, "bars"),
    ({"risk": {"max_order_notional": "lots"}}, "risk.max_order_notional: 'lots' is not a plain decimal"),
    ({"risk": {"max_order_notional": "-1"}}, "risk.max_order_notional"),
    ({"risk": {"max_order_notional": 5}}, "risk.max_order_notional"),
    ({"risk": {"max_position_notional": "NaN"}}, "risk.max_position_notional"),
    ({"risk": {"max_order_size": {"BTC": "x"}}}, "risk.max_order_size.BTC"),
    ({"risk": {"max_position_size": {"BTC": "1e99"}}}, "risk.max_position_size.BTC"),
    ({"risk": {"max_orders_per_minute": -1}}, "risk.max_orders_per_minute"),
    ({"paper": {"latency_ms": -1}}, "paper.latency_ms"),
    ({"paper": {"slippage_bps": 10**9}}, "paper.slippage_bps"),
    ({"paper": {"taker_fee": "0.00000001"}}, "paper.taker_fee: '0.00000001' has more than 7 decimals"),
    ({"paper": {"taker_fee": "-0.0001"}}, "paper.taker_fee"),
    ({"account": {"cash": "Infinity"}}, "account.cash"),
    ({"strategies": [{"on_failure": "retry"}]}, "is not 'halt' or 'quarantine'"),
    ({"strategies": [{}, {}]}, "two are named 'Crossover'; give one of them another name"),
    ({"strategies": [{"params": {"a": [1]}}]}, "params"),
    ({"instruments": "BTC"}, "`$.instruments`"),
    ({"coins": "BTC"}, "`$.instruments`"),
    ({"coins": [], "instruments": []}, "instruments and coins are two names of one key"),
    ({"strategies": [{"coins": [], "instruments": []}]}, "strategies.coins are two names of one key"),
    ({"strategies": {"use": "mine:Mine"}}, "`$.strategies`; write [[strategies]] above each of them"),
    ({"stores": {"kind": "csv"}}, "`$.stores`; write [[stores]] above each of them"),
]


@pytest.mark.parametrize(("data", "part"), BAD)
def test_a_value_that_would_fail_later_is_refused_by_its_key(data: Any, part: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse_config(data)
    text = str(caught.value)
    assert part in text or part.replace(".", "`") in text or part.split(".")[-1] in text


def test_a_maker_fee_may_be_negative() -> None:
    assert parse_config({"paper": {"maker_fee": "-0.0001"}}).paper.maker_fee == "-0.0001"


def test_two_strategies_of_one_class_need_names() -> None:
    config = parse_config({"strategies": [{"name": "a"}, {"name": "b"}]})
    assert [entry.title for entry in config.strategies] == ["a", "b"]


def test_a_recorded_configuration_that_is_not_json_is_refused() -> None:
    with pytest.raises(ConfigError, match="is not JSON"):
        parse_config("{")


def test_a_file_is_read_and_its_errors_name_the_file(tmp_path: Path) -> None:
    path = tmp_path / "engine.toml"
    path.write_text(
        'instruments = ["BTC"]\n[[strategies]]\nparams = { fast = 5 }\n[bars]\nintervals = ["5m"]\n'
    )
    config = load_config(path)
    assert (config.instruments, config.bars.intervals) == (("BTC",), ("5m",))
    assert config.strategies[0].params == {"fast": 5}
    for text, part in (
        ("instruments = [", "is not valid TOML"),
        ("instrument = 1", "there is no key 'instrument'"),
        ("[risk]\nmax_order_notional = 'x'", "risk.max_order_notional"),
    ):
        path.write_text(text)
        with pytest.raises(ConfigError) as caught:
            load_config(path)
        assert str(path) in str(caught.value)
        assert part in str(caught.value)
    path.write_bytes(b"\xff\xfe")
    with pytest.raises(ConfigError, match="is not valid TOML"):
        load_config(path)
    with pytest.raises(ConfigError, match="check the path given to --config"):
        load_config(tmp_path / "none.toml")


def test_an_error_names_the_nearest_names_or_else_the_first_known_ones() -> None:
    assert nearest("BTX", ["BTC", "ETH"]) == "did you mean BTC?"
    assert nearest("?", [f"c{n}" for n in range(20)]).endswith("c11 ...")


EVERYWHERE: dict[str, Any] = {
    "instruments": ["{}"],
    "strategies": [{"name": "Mine", "instruments": ["{}"]}],
    "bars": {"activity": ["volume:50@{}", "tick:5"]},
    "risk": {"max_order_size": {"{}": "1"}, "max_position_size": {"{}": "2"}},
    "account": {"leverage": {"{}": 3}, "prices": {"BNB": "{}", "EUR": "1.1"}},
    "flow": {"level": {"{}": "5"}, "large": {"{}": "7"}},
    "venue": {"adopt": {"{}": "Mine"}},
}


def with_name(name: str) -> Config:
    return of(msgspec.json.decode(msgspec.json.encode(EVERYWHERE).replace(b"{}", name.encode())))


@pytest.mark.parametrize("name", ["BTC", "hyperliquid:BTC"])
def test_every_key_that_names_an_instrument_takes_all_its_names(name: str) -> None:
    assert resolve_names(with_name(name), LISTED) == with_name("hyperliquid:BTC")


@pytest.mark.parametrize("key", EVERYWHERE)
def test_a_name_that_is_not_an_instrument_or_of_several_is_refused_in_every_key(key: str) -> None:
    twice = [*LISTED, InstrumentListed(0, 9, "kraken", "BTC", 1, 5)]
    for name, words in (("BTX", "there is no instrument 'BTX'; did you mean BTC"), ("BTC", "kraken:BTC")):
        data = msgspec.json.decode(msgspec.json.encode({key: EVERYWHERE[key]}).replace(b"{}", name.encode()))
        config = of({"strategies": [{"name": "Mine"}], **data})
        with pytest.raises(UsageError, match=words):
            resolve_names(config, LISTED if name == "BTX" else twice)


def test_two_entries_of_one_instrument_are_refused() -> None:
    config = of({"account": {"leverage": {"BTC": 3, "hyperliquid:BTC": 4}}})
    with pytest.raises(UsageError, match=r"account\.leverage: hyperliquid:BTC has two entries"):
        resolve_names(config, LISTED)


def test_the_earlier_key_of_the_instruments_is_read_in_files_and_kept_in_records() -> None:
    old = parse_config({"coins": ["BTC"], "strategies": [{"coins": ["BTC"]}]})
    assert old == parse_config({"instruments": ["BTC"], "strategies": [{"instruments": ["BTC"]}]})
    assert old.canonical().count('"coins":["BTC"]') == 2
    assert "instruments" not in old.canonical()
    assert parse_config(old.canonical()) == old


def of(text: dict[str, Any]) -> Config:
    return parse_config(msgspec.json.encode(text).decode())


LISTED = [
    InstrumentListed(0, number, "hyperliquid", name, 1, 5) for number, name in enumerate(("BTC", "ETH"), 1)
]
EUR = InstrumentListed(0, 3, "hyperliquid", "EUR/USDC", 4, 2, kind="spot")
TWO = [{"name": "Long"}, {"name": "Short", "instruments": ["ETH"]}]


def test_a_position_is_adopted_by_the_only_strategy_of_its_market_or_by_the_one_that_is_named() -> None:
    both = {"mode": "live", "strategies": TWO, "venue": {"adopt": True}}
    resolve_names(of({**both, "strategies": TWO[:1]}), LISTED)
    with pytest.raises(UsageError, match=r'Long and Short trade ETH; .* adopt = { ETH = "Long" }'):
        resolve_names(of(both), LISTED)
    twice = [*LISTED, InstrumentListed(0, 9, "kraken", "ETH", 1, 5)]
    ours = [{"name": "Long"}, {"name": "Short", "instruments": ["hyperliquid:ETH"]}]
    with pytest.raises(UsageError, match=r'adopt = { "hyperliquid:ETH" = "Long" }'):
        resolve_names(of({**both, "strategies": ours}), twice[1:])
    resolve_names(of({**both, "mode": "paper"}), LISTED)
    named = of({**both, "venue": {"adopt": {"ETH": "Short"}}})
    resolve_names(named, LISTED)
    assert parse_config(named.canonical()) == named
    with pytest.raises(UsageError, match=r"venue.adopt: there is no instrument 'ETH'"):
        resolve_names(of({**both, "strategies": [{"name": "Short"}], **named_venue("ETH")}), LISTED[:1])


def named_venue(market: str) -> dict[str, Any]:
    return {"venue": {"adopt": {market: "Short"}}}


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (
            {"venue": {"adopt": {"BTC": "Lang"}}},
            "venue.adopt.BTC: there is no strategy 'Lang'; did you mean Long",
        ),
        ({"account": {"prices": {"BNB": ""}}}, "account.prices.BNB: give a number, or the name of a market"),
    ],
)
def test_who_adopts_and_what_prices_assets_is_checked(data: dict[str, Any], words: str) -> None:
    with pytest.raises(ConfigError, match=re.escape(words)):
        of({"strategies": TWO, **data})


@pytest.mark.parametrize("name", ["BTC", "hyperliquid:BTC"])
def test_a_strategy_adopts_only_what_it_trades(name: str) -> None:
    with pytest.raises(ConfigError, match=r"venue\.adopt\.BTC: Short does not trade BTC"):
        resolve_names(of({"strategies": TWO, **named_venue(name)}), LISTED)


def test_the_price_of_an_asset_is_a_number_or_a_market_of_the_session() -> None:
    prices = {"account": {"prices": {"BNB": "612.5", "EUR": "EUR/USDC"}}}
    resolve_names(of(prices), [EUR])
    with pytest.raises(UsageError, match=r"account.prices.EUR: there is no instrument 'EUR/USDC'"):
        resolve_names(of(prices), LISTED[:1])
