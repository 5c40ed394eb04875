"""Exits of a group with random fills and changes, against a plain model of what each leaves the others."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal

from hypothesis import example, given
from hypothesis import strategies as st

from engine.events import SubmitOrder
from tests.actors.rig import Rig
from tests.profiles import examples

LIMIT = 110


@dataclass
class Exit:
    """A resting exit. Sizes are in hundredths; `asked` is the open size of a change on its way, else 0."""

    order: SubmitOrder
    handle: str
    grouped: bool
    kept: int
    asked: int = 0
    canceled: bool = False


def units(hundredths: int) -> Decimal:
    return Decimal(hundredths).scaleb(-2)


steps = st.lists(
    st.tuples(st.sampled_from(["fill", "fill", "modify", "answer"]), st.integers(0, 3), st.integers(1, 100)),
    max_size=14,
)


@given(st.lists(st.integers(1, 100), min_size=2, max_size=4), st.integers(1, 400), st.booleans(), steps)
@example([100, 100], 150, False, [("fill", 0, 30), ("answer", 1, 1), ("fill", 0, 30)])
@example([100, 100], 150, False, [("fill", 0, 30), ("fill", 0, 30)])
@example([100, 100, 50], 10, True, [("modify", 1, 40), ("fill", 0, 30), ("fill", 2, 5)])
@examples(0.5)
def test_a_fill_of_one_exit_leaves_the_others_of_its_group_what_a_plain_model_says(
    sizes: list[int], stop_size: int, outsider: bool, plan: list[tuple[str, int, int]]
) -> None:
    """Its size is taken off the other exits and stops; an exit that is being changed is canceled."""
    held = sum(sizes)
    rig = Rig(real=True)
    rig.quote(99, 101)
    rig.hold("S", units(held))
    exits: list[Exit] = []
    for number, size in enumerate(sizes):
        grouped = not (outsider and number == len(sizes) - 1)
        group = "g" if grouped else ""
        handle = rig.sell("S", units(size), limit=LIMIT + number, group=group)
        exits.append(Exit(rig.newest(), handle, grouped, size))
        rig.accept(rig.newest())
    stop = rig.stop("S", units(stop_size), 90, group="g")
    for what, which, size in plan:
        one = exits[which % len(exits)]
        limit = LIMIT + which % len(exits)
        if not one.kept or one.canceled:
            continue
        if what == "answer" and one.asked:
            rig.modified(one.order, units(one.asked), limit)
            one.asked = 0
        elif what == "modify" and not one.asked:
            one.kept = one.asked = min(size, one.kept)
            rig.modify("S", one.handle, size=units(one.asked), limit=limit)
        elif what == "fill" and not one.asked:
            filled = min(size, one.kept)
            rig.fill(one.order, units(filled), limit)
            one.kept -= filled
            held -= filled
            if one.grouped:
                stop_size = max(0, stop_size - filled)
                for other in exits:
                    if other is one or not other.grouped or other.canceled or not other.kept:
                        continue
                    if other.asked or other.kept <= filled:
                        other.canceled = True
                    else:
                        other.kept = other.asked = other.kept - filled
        assert rig.book("S") == units(held)
        assert {x.order.client_order_id for x in exits if x.canceled} == set(rig.canceled()) - ended(
            rig, stop
        )
        for x in exits:
            if x.kept and not x.canceled:
                assert rig.live(x.order).kept == x.kept
        left = rig.manager.stops.get(1, {}).get(stop)
        assert (left.size if left else 0) == (stop_size if held else 0)


def ended(rig: Rig, handle: str) -> set[str]:
    """Return the client order ids of a stop at the venue: it is resized by another order."""
    return {one.client_order_id for one in rig.placed() if one.terms.handle == handle}
