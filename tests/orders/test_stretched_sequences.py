"""Random sessions in which a price stays beyond a stop: 40 in `make test`, 3,000 in `make test-deep`.

Plain random sessions turn around too soon: of 100 of them none showed a venue that fires no stop-loss.
"""

from __future__ import annotations

import pytest

from engine.actors.simulated.state import VenueOrder
from tests.orders.shrink import break_of, explained
from tests.orders.stretches import stretched_plan
from tests.profiles import pick

CHUNKS = 2


@pytest.mark.parametrize("chunk", range(CHUNKS))
def test_every_session_in_which_a_price_stays_beyond_a_stop_keeps_the_rules(chunk: int) -> None:
    for number in range(chunk, pick(40, deep=3000), CHUNKS):
        if break_of(stretched_plan(number)) is not None:
            pytest.fail(explained(stretched_plan(number)), pytrace=False)


def test_a_venue_that_fires_no_stop_loss_is_found_within_ten_sessions(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    fires = VenueOrder.reached_by

    def blind(self: VenueOrder, price: int, trigger: int) -> bool:
        return (self.terms.trigger, self.terms.role) != ("sl", "close") and fires(self, price, trigger)

    monkeypatch.setattr(VenueOrder, "reached_by", blind)
    found = [broken[0] for number in range(10) if (broken := break_of(stretched_plan(number))) is not None]
    assert set(found) == {"a stop that the price has passed is worked"}
