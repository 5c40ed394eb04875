"""An instrument is found by `venue:NAME` or by a name that is unique, and its label always finds it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from engine.errors import UsageError
from engine.events import InstrumentListed, MarketRules
from engine.instruments import (
    Instruments,
    continued,
    entry_of,
    find_instrument,
    is_among,
    labels,
)
from engine.values import parse_scaled, rescale


def listing(key: str, number: int = 1, *, base: str = "", quote: str = "") -> InstrumentListed:
    """Return the listing of `venue:NAME`; with a base it is a spot pair."""
    venue, _, name = key.partition(":")
    rules = MarketRules(base=base, quote=quote)
    return InstrumentListed(0, number, venue, name, 2, 3, kind="spot" if base else "perp", rules=rules)


TWO = [listing("binance:BTCUSDT", 1), listing("kraken:BTCUSDT", 2), listing("kraken:ETHUSDT", 3)]


def test_the_first_colon_separates() -> None:
    listed = listing("hyperliquid:xyz:SP500")

    assert (listed.venue, listed.name, listed.key) == ("hyperliquid", "xyz:SP500", "hyperliquid:xyz:SP500")


@pytest.mark.parametrize("text", ["xyz:SP500", "hyperliquid:xyz:SP500"])
def test_a_name_that_has_a_colon_is_found_bare_and_with_its_venue(text: str) -> None:
    listed = [listing("hyperliquid:BTC", 1), listing("hyperliquid:xyz:SP500", 2)]

    assert find_instrument(text, listed).instrument == 2


def test_a_name_of_two_venues_is_refused_with_both() -> None:
    with pytest.raises(UsageError, match=r"'BTCUSDT' is the name of several .*binance:BTCUSDT, kraken:"):
        find_instrument("BTCUSDT", TWO)

    assert find_instrument("kraken:BTCUSDT", TWO).instrument == 2
    assert find_instrument("ETHUSDT", TWO).instrument == 3


@pytest.mark.parametrize("text", ["ETHUSD", "krakn:ETHUSDT", "ethusdt:ETHUSDT", ":ETHUSDT"])
def test_an_unknown_name_is_refused_with_the_nearest(text: str) -> None:
    with pytest.raises(UsageError, match=f"there is no instrument {text!r}; .*ETHUSDT"):
        find_instrument(text, TWO)


def test_the_pair_of_a_spot_market_finds_it() -> None:
    listed = [listing("hyperliquid:@107", 1, base="HYPE", quote="USDC"), listing("hyperliquid:HYPE", 2)]

    assert find_instrument("HYPE/USDC", listed).name == "@107"
    assert find_instrument("HYPE", listed).instrument == 2
    with pytest.raises(UsageError, match="did you mean HYPE/USDC"):
        find_instrument("HYPE-USDC", listed)


def test_a_label_is_the_bare_name_where_it_is_unique() -> None:
    assert labels(TWO) == {1: "binance:BTCUSDT", 2: "kraken:BTCUSDT", 3: "ETHUSDT"}


def test_a_name_that_reads_as_another_instrument_is_not_a_label() -> None:
    listed = [listing("hyperliquid:xyz:SP500", 1), listing("xyz:SP500", 2)]

    assert find_instrument("xyz:SP500", listed).instrument == 2
    assert labels(listed) == {1: "hyperliquid:xyz:SP500", 2: "SP500"}


def test_listed_twice_is_one_instrument_and_the_later_listing_counts() -> None:
    again = replace(TWO[2], price_scale=4)

    assert find_instrument("ETHUSDT", [*TWO, again]).price_scale == 4
    assert labels([*TWO, again]) == labels(TWO)


def test_the_instrument_that_the_session_trades_has_the_name() -> None:
    """A journal keeps instruments of earlier sessions, which were of another venue."""
    held = Instruments(TWO)
    with pytest.raises(UsageError, match="several"):
        held.find("BTCUSDT")
    held.prefer(("kraken:BTCUSDT", "kraken:ETHUSDT"))

    assert held.find("BTCUSDT").instrument == 2
    assert held.labels() == {1: "binance:BTCUSDT", 2: "BTCUSDT", 3: "ETHUSDT"}
    assert held.means("BTCUSDT", 2)
    assert not held.means("BTCUSDT", 1)

    held[4] = listing("binance:ETHUSDT", 4)
    assert held.label(4) == "binance:ETHUSDT"
    copied = held.copy()
    copied.prefer(())
    assert (copied.label(2), held.label(2)) == ("kraken:BTCUSDT", "BTCUSDT")
    held.replace(TWO[:1])
    assert held.labels() == {1: "BTCUSDT"}


def test_a_table_by_instrument_has_keys_and_in_records_of_old_days_names() -> None:
    binance, kraken, _ = TWO
    assert entry_of({"kraken:BTCUSDT": 5}, kraken, 1) == entry_of({"BTCUSDT": 5}, kraken, 1) == 5
    assert entry_of({"kraken:BTCUSDT": 5}, binance, 1) == entry_of({}, binance, 1) == 1
    assert entry_of({"kraken:BTCUSDT": 5, "BTCUSDT": 6}, kraken, 1) == 5
    assert is_among(kraken, ("kraken:BTCUSDT",))
    assert is_among(kraken, ("BTCUSDT",))
    assert not is_among(kraken, ("binance:BTCUSDT", "ETHUSDT"))


_NAMES = st.sampled_from(["A", "B", "a:A", "a:B", "b:A", "a:a:A"])
_KEYS = st.lists(st.tuples(st.sampled_from("ab"), _NAMES), unique=True, max_size=8)


@given(keys=_KEYS)
def test_labels_are_distinct_and_each_finds_its_instrument(keys: list[tuple[str, str]]) -> None:
    listed = [listing(f"{venue}:{name}", number) for number, (venue, name) in enumerate(keys, 1)]
    found = labels(listed)
    held = Instruments()
    for one in listed:
        held[one.instrument] = one
        assert held.labels() == Instruments(held.values()).labels()
        assert held.names() == Instruments(held.values()).names()

    assert held.labels() == found
    assert len(set(found.values())) == len(listed)
    for one in listed:
        assert find_instrument(found[one.instrument], listed) == one
        assert find_instrument(one.key, listed) == one


_SCALES = st.integers(min_value=0, max_value=6)


@given(before=st.tuples(_SCALES, _SCALES), after=st.tuples(_SCALES, _SCALES), number=st.integers(0, 10**9))
def test_a_listing_that_goes_on_has_no_coarser_scale_and_the_new_grid(
    before: tuple[int, int], after: tuple[int, int], number: int
) -> None:
    old = replace(listing("a:A", 7), price_scale=before[0], size_scale=before[1])
    new = replace(
        listing("a:A", 1),
        price_scale=after[0],
        size_scale=after[1],
        price_step=5,
        size_step=2,
        price_figures=5,
        rules=MarketRules(size_max=3),
    )
    one = continued(old, new)

    assert (one.instrument, one.key) == (7, "a:A")
    assert (one.price_scale, one.size_scale) == (max(before[0], after[0]), max(before[1], after[1]))
    assert one.price_step == rescale(5, after[0], one.price_scale)
    assert one.size_step == rescale(2, after[1], one.size_scale)
    assert one.rules.size_max == rescale(3, after[1], one.size_scale)
    text = f"{number}.{'1' * after[0]}" if after[0] else str(number)
    on_grid = new.price_on_grid(text, 1)
    assert one.price_on_grid(text, 1) == rescale(on_grid, after[0], one.price_scale)
    assert parse_scaled(text, one.price_scale) >= one.price_on_grid(text, 1)
