"""What instruments are called: finding one by a name, the names people see, and a listing that goes on.

An instrument is `venue:NAME`; the first colon separates, so `hyperliquid:xyz:SP500` is `xyz:SP500` of
hyperliquid (`InstrumentListed.key`). Promises: whatever takes a name finds the instrument here, and the label
of an instrument always finds it. Used by strategies, actors, the checks of a configuration, adapters and
commands.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from typing import Final, TypeVar

from msgspec.structs import replace

from engine.config import nearest
from engine.errors import UsageError, VenueProtocolError
from engine.events import InstrumentListed
from engine.values import power_of_ten

__all__ = [
    "NAME_LENGTH_MAX",
    "Instruments",
    "check_listing",
    "continued",
    "entry_of",
    "find_instrument",
    "index_names",
    "is_among",
    "is_of",
    "keyed_labels",
    "labels",
]

T = TypeVar("T")
D = TypeVar("D")


NAME_LENGTH_MAX: Final = 64


def check_listing(listed: Collection[InstrumentListed], venue: str) -> None:
    """Raise VenueProtocolError for a listing that no session can have: names go into files and on screens."""
    if not listed:
        raise VenueProtocolError(f"{venue} lists no instruments")
    counts = Counter(one.key for one in listed)
    for one in listed:
        if not 0 < len(one.name) <= NAME_LENGTH_MAX or not one.name.isprintable():
            shown = ascii(one.name[:NAME_LENGTH_MAX])
            raise VenueProtocolError(
                f"{venue} lists {shown}; a name has 1 to {NAME_LENGTH_MAX} printable characters"
            )
        if counts[one.key] > 1:
            raise VenueProtocolError(f"{venue} lists {one.name} {counts[one.key]} times")


def of_feed(feed: str, instruments: Mapping[int, InstrumentListed]) -> list[int] | None:
    """Return the numbers of the instruments that a feed is about, sorted; None for all.

    A feed bears the name of its venue. Where instruments of several venues are listed, it is about those of
    its venue, so that the loss of one venue does not touch what comes from another.
    """
    venues = {one.venue for one in instruments.values()}
    if len(venues) < 2 or feed not in venues:
        return None
    return sorted(number for number, one in instruments.items() if one.venue == feed)


def is_of(venue: str, listed: InstrumentListed) -> bool:
    """Return whether an instrument's orders are for the account at `venue`; "" is the only account."""
    return not venue or listed.venue == venue


def find_instrument(
    text: str, listed: Iterable[InstrumentListed], preferred: Collection[str] = ()
) -> InstrumentListed:
    """Return the instrument that `text` means: `venue:NAME`, or a NAME that only one venue has.

    The pair of a spot market, such as `HYPE/USDC`, counts as a name of it. `preferred` are texts of
    instruments (see `is_among`): of several with one name, the only one among them has the name. Raises
    UsageError with the candidates if several have the name, else with the nearest names.
    """
    listed = list(listed)
    found = index_names(listed, preferred).get(text)
    if found is None:
        raise UsageError(_why_not(text, "instrument", listed, preferred))
    return found


def index_names(
    listed: Iterable[InstrumentListed], preferred: Collection[str] = ()
) -> dict[str, InstrumentListed]:
    """Return every text that means exactly one of the instruments.

    Of two listings of one instrument, the later counts.
    """
    by_key = {one.key: one for one in listed}
    pairs = [(_pair(one), one) for one in by_key.values() if _pair(one)]
    names = [(one.name, one) for one in by_key.values()]
    return _unique(pairs, preferred) | _unique(names, preferred) | by_key


def labels(listed: Iterable[InstrumentListed], preferred: Collection[str] = ()) -> dict[int, str]:
    """Return what people see for each instrument, by number.

    It is the NAME if that means this instrument alone, else `venue:NAME`.
    """
    listed = list(listed)
    shown = keyed_labels(listed, preferred)
    return {one.instrument: shown[one.key] for one in listed}


def keyed_labels(listed: Iterable[InstrumentListed], preferred: Collection[str] = ()) -> dict[str, str]:
    """Return the labels by `venue:NAME`, for instruments of several journals, whose numbers may be equal."""
    listed = list(listed)
    found = index_names(listed, preferred)
    return {one.key: _label(one, found) for one in listed}


def is_among(listed: InstrumentListed, texts: Collection[str]) -> bool:
    """Return whether `venue:NAME` or the NAME of an instrument is among `texts`.

    A configuration has `venue:NAME`, as `engine.config.naming` writes it; those of old days have the NAME.
    """
    return listed.key in texts or listed.name in texts


def entry_of(table: Mapping[str, T], listed: InstrumentListed, default: D) -> T | D:
    """Return an instrument's entry in a table by `venue:NAME` or, as in old days, by NAME."""
    return table.get(listed.key, table.get(listed.name, default)) if table else default


class Instruments(dict[int, InstrumentListed]):
    """The instruments of a session by number, with their names and labels.

    A journal also has instruments that an earlier session traded. Where two have one name, the one that this
    session trades has it (`prefer`).
    """

    def __init__(self, listed: Iterable[InstrumentListed] = ()) -> None:
        super().__init__({one.instrument: one for one in listed})
        self._preferred: tuple[str, ...] = ()
        self._names: dict[str, int] | None = None
        self._labels: dict[int, str] = {}
        self._taken: set[str] = set()

    def __setitem__(self, number: int, listed: InstrumentListed) -> None:
        texts = _texts(listed)
        if self._names is None or number in self or not self._taken.isdisjoint(texts):
            self._names = None
        else:  # changes nothing of the others: at a start hundreds are listed one by one
            self._names.update(dict.fromkeys(texts, number))
            self._labels[number] = listed.name
            self._taken.update(texts)
        super().__setitem__(number, listed)

    def copy(self) -> Instruments:
        """Return a copy that is changed on its own."""
        copied = Instruments(self.values())
        copied.prefer(self._preferred)
        return copied

    def replace(self, listed: Iterable[InstrumentListed]) -> None:
        """Hold these instruments, and no others."""
        self.clear()
        self.update({one.instrument: one for one in listed})
        self._names = None

    def prefer(self, texts: tuple[str, ...]) -> None:
        """Set which instruments the session trades, as its configuration has them; () are all."""
        self._preferred = texts
        self._names = None

    def label(self, number: int) -> str:
        """Return what people and strategies see for an instrument."""
        return self.labels()[number]

    def shown_venue(self, number: int) -> str:
        """Return the venue of an instrument where those of several are listed; else ""."""
        venue = self[number].venue
        return venue if any(one.venue != venue for one in self.values()) else ""

    def labels(self) -> dict[int, str]:
        """Return the label of each instrument, by number."""
        if self._names is None:
            self.names()
        return self._labels

    def names(self) -> dict[str, int]:
        """Return the number of each instrument by every text that means it."""
        if self._names is None:
            found = index_names(self.values(), self._preferred)
            self._names = {text: one.instrument for text, one in found.items()}
            self._labels = {number: _label(one, found) for number, one in self.items()}
            self._taken = {text for one in self.values() for text in _texts(one)}
        return self._names

    def means(self, text: str, number: int) -> bool:
        """Return whether `text` means the instrument with this number."""
        return self.names().get(text) == number

    def find(self, text: str) -> InstrumentListed:
        """Return the instrument that `text` means. Raises UsageError, see `find_instrument`."""
        return find_instrument(text, self.values(), self._preferred)

    def why_not(self, text: str) -> str:
        """Return why no market is found by `text`, and what to write instead."""
        return _why_not(text, "market", list(self.values()), self._preferred)


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


def _why_not(text: str, what: str, listed: list[InstrumentListed], preferred: Collection[str]) -> str:
    same = list(dict.fromkeys(one.key for one in listed if text in (one.name, _pair(one))))
    if same:
        return f"{text!r} is the name of several {what}s; write one of {', '.join(same)}"
    known = [*labels(listed, preferred).values(), *(pair for one in listed if (pair := _pair(one)))]
    return f"there is no {what} {text!r}; {nearest(str(text), list(dict.fromkeys(known)))}"


def _texts(one: InstrumentListed) -> list[str]:
    """Return the texts that may mean an instrument."""
    return [text for text in (one.key, one.name, _pair(one)) if text]


def _label(one: InstrumentListed, found: Mapping[str, InstrumentListed]) -> str:
    """Return the NAME of an instrument if it is its text in `index_names`, else `venue:NAME`."""
    own = found.get(one.name)
    return one.name if own is not None and own.key == one.key else one.key


def _unique(
    named: list[tuple[str, InstrumentListed]], preferred: Collection[str]
) -> dict[str, InstrumentListed]:
    """Return the instruments by their texts, without texts that several have."""
    counts = Counter(text for text, _ in named)
    found = {text: one for text, one in named if counts[text] == 1}
    if len(found) == len(named):
        return found
    chosen = [(text, one) for text, one in named if counts[text] > 1 and is_among(one, preferred)]
    counts = Counter(text for text, _ in chosen)
    return found | {text: one for text, one in chosen if counts[text] == 1}


def _pair(one: InstrumentListed) -> str:
    """Return the pair of a spot market, such as `HYPE/USDC`; "" for everything else."""
    return f"{one.rules.base}/{one.rules.quote}" if one.kind == "spot" and one.rules.base else ""
