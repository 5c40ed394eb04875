"""What settings of stores share: addresses that show no secret, chosen tables, how long rows are kept."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.clock import DAY_NS
from engine.errors import ConfigError
from engine.stores.rows.tables import TABLES
from engine.stores.rows.views import VIEWS, tables_of
from engine.stores.settings import OTHER_NAMES, STATE_TABLES, Address, chosen_tables, kept_from, retention_ns

SECRETS = st.text(st.characters(codec="ascii", exclude_characters="\x00"), min_size=12)


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("postgresql://ann:s3cret@db.example:5432/market", "postgresql://ann@db.example:5432/market"),
        ("postgresql://ann:s3%40cret@db/market?sslpassword=s3cret", "postgresql://ann@db/market"),
        ("postgresql://ann:s3@cret@one:1,two:2/market", "postgresql://ann@one:1,two:2/market"),
        ("postgresql:///market?host=/run/postgresql&password=s3cret", "postgresql:///market"),
        ("postgresql://[::1]:5432/market", "postgresql://[::1]:5432/market"),
    ],
)
def test_an_address_is_shown_without_its_secrets(url: str, shown: str) -> None:
    assert Address(url, "postgresql").shown == shown


@given(secret=SECRETS)
def test_no_text_of_an_address_holds_its_password(secret: str) -> None:
    """A password that is not escaped either still is the password, or the address is refused."""
    try:
        address = Address(f"postgresql://ann:{secret}@db:5432/market", "postgresql")
        seen = [address.shown, address.hide(f"login of ann failed with {secret}")]
    except ConfigError as error:
        seen = [str(error)]
    assert not any(secret in text for text in seen)


@pytest.mark.parametrize("url", ["mysql://a:s3cret@h/db", "a:s3cret@h", "postgresql://a:s3/cret@h/d", ""])
def test_an_address_that_is_not_valid_is_refused_without_being_shown(url: str) -> None:
    with pytest.raises(ConfigError, match=r"^url: ") as caught:
        Address(url, "postgresql", "postgres")
    assert "cret" not in str(caught.value)


def test_tables_are_chosen_with_what_they_need() -> None:
    everything = frozenset(TABLES) - {"cursor"}
    assert chosen_tables([]) == everything
    assert chosen_tables(["ohlcv", "price_ticks"]) == {"bars", "trades", "instruments"}
    together = {"orders", "order_sums", "fills", "round_trips", "open_trips", "instruments"}
    assert chosen_tables(["fills"]) == chosen_tables(["round_trips"]) == together
    with pytest.raises(ConfigError, match="no table 'trade'; did you mean trades"):
        chosen_tables(["trade"])


def test_rows_are_kept_by_the_time_of_the_newest_record_from_the_beginning_of_a_day() -> None:
    tables = chosen_tables(["trades", "fills"])
    assert retention_ns({"price_ticks": "30d"}, tables) == {"trades": 30 * DAY_NS}
    assert kept_from(40 * DAY_NS + 5, 30 * DAY_NS) == 10 * DAY_NS
    for given_, words in (
        ({"fills": "30d"}, "needed"),
        ({"bars": "30d"}, "does not hold bars"),
        ({"trades": "2h"}, "less than a day"),
        ({"trades": "soon"}, "not a span"),
        ({"tades": "1d"}, "no table"),
    ):
        with pytest.raises(ConfigError, match=words):
            retention_ns(given_, tables)
    for table, shape in TABLES.items():
        assert shape.time in shape.times or table in STATE_TABLES, table


def test_views_read_tables_and_name_what_they_show() -> None:
    for view in VIEWS:
        assert tables_of(view) <= set(TABLES), view
    for view, table in OTHER_NAMES.items():
        assert tables_of(view) == {table}
