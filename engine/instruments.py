"""What instruments are called: finding one by a name, the names people see, and a listing that goes on.

An instrument is `venue:NAME`; the first colon separates, so `hyperliquid:xyz:SP500` is `xyz:SP500` of
hyperliquid (`InstrumentListed.key`). Promises: whatever takes a name finds the instrument here, and the label
of an instrument always finds it. Used by strategies, actors, the checks of a configuration, adapters and
commands.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from msgspec.structs import replace

from engine.config import nearest
from engine.errors import UsageError
from engine.events import InstrumentListed
from engine.values import power_of_ten

__all__ = ["continued", "find_instrument", "index_names", "labels"]


def find_instrument(text: str, listed: Iterable[InstrumentListed]) -> InstrumentListed:
    """Return the instrument that `text` means: `venue:NAME`, or a NAME that only one venue has.

    The pair of a spot market, such as `HYPE/USDC`, counts as a name of it. Raises UsageError with the
    candidates if several have the name, else with the nearest names.
    """
    listed = list(listed)
    found = index_names(listed).get(text)
    if found is not None:
        return found
    same = list(dict.fromkeys(one.key for one in listed if text in (one.name, _pair(one))))
    if same:
        raise UsageError(f"{text!r} is the name of several instruments; write one of {', '.join(same)}")
    known = list(labels(listed).values())
    raise UsageError(f"there is no instrument {text[:60]!r}; {nearest(text, known)}")


def index_names(listed: Iterable[InstrumentListed]) -> dict[str, InstrumentListed]:
    """Return every text that means exactly one of the instruments.

    Of two listings of one instrument, the later counts.
    """
    by_key = {one.key: one for one in listed}
    pairs = [(_pair(one), one) for one in by_key.values() if _pair(one)]
    names = [(one.name, one) for one in by_key.values()]
    return _unique(pairs) | _unique(names) | by_key


def labels(listed: Iterable[InstrumentListed]) -> dict[int, str]:
    """Return what people see for each instrument, by number.

    It is the NAME if that means this instrument alone, else `venue:NAME`.
    """
    listed = list(listed)
    found = index_names(listed)
    return {
        one.instrument: one.name if (own := found.get(one.name)) and own.key == one.key else one.key
        for one in listed
    }


def continued(before: InstrumentListed, listed: InstrumentListed) -> InstrumentListed:
    """Return `listed` as the listing that follows `before` in one journal: its number, and no coarser scale.

    Scales only grow, so an earlier number is converted by a power of ten, exactly. The grid is that of
    `listed`.
    """
    price_scale = max(before.price_scale, listed.price_scale)
    size_scale = max(before.size_scale, listed.size_scale)
    size_unit = power_of_ten(size_scale - listed.size_scale)
    return replace(
        listed,
        instrument=before.instrument,
        price_scale=price_scale,
        size_scale=size_scale,
        price_step=listed.price_step * power_of_ten(price_scale - listed.price_scale),
        size_step=listed.size_step * size_unit,
        rules=replace(listed.rules, size_max=listed.rules.size_max * size_unit),
    )


def _unique(named: list[tuple[str, InstrumentListed]]) -> dict[str, InstrumentListed]:
    """Return the instruments by their texts, without texts that several have."""
    counts = Counter(text for text, _ in named)
    return {text: one for text, one in named if counts[text] == 1}


def _pair(one: InstrumentListed) -> str:
    """Return the pair of a spot market, such as `HYPE/USDC`; "" for everything else."""
    return f"{one.rules.base}/{one.rules.quote}" if one.kind == "spot" and one.rules.base else ""
