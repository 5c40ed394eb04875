"""The line that shows the counters of a feed."""

from __future__ import annotations

from adapters.transport.health import FeedHealth


def test_a_feed_that_went_down_while_it_lagged_has_no_lag_to_show() -> None:
    """The age of a proof is not measured while the feed is down, and that it lagged is still noted."""
    assert "LAGGING: what is read is 7 s old" in str(FeedHealth(lagging=True, lags_s=(2.0, 7.0)))
    assert "LAGGING" not in str(FeedHealth(lagging=True))
