"""Arming: real orders need `mode = "live"`, the account's key and `--arm`, all at once.

With several venues each is armed by its name, `--arm NAME`; those that are not are watched only. Called by
`engine live` before anything is written or connected. If one of the three is missing, the command ends with
exit code 6 and names it. In paper mode no key is read.
"""

from __future__ import annotations

from collections.abc import Sequence

from engine.config import nearest
from engine.errors import SafetyRefusal, UsageError
from engine.venue import Venue

__all__ = ["ARMED_ALONE", "armed_venues", "check_armed"]

ARMED_ALONE = ""
"""`--arm` without a name: the session's only venue."""


def armed_venues(venues: Sequence[Venue], mode: str, given: Sequence[str]) -> list[Venue]:
    """Return the venues that real orders go to. Raises SafetyRefusal when venues, mode and `--arm` do not
    agree, and UsageError for a name that is not of the session."""
    names = [venue.name for venue in venues]
    if ARMED_ALONE in given and len(venues) > 1:
        each = " ".join(f"--arm {venue.name}" for venue in venues if venue.has_orders)
        raise SafetyRefusal(
            f"with several venues --arm needs the name of each that real orders go to, such as {each}; the "
            "others are watched only"
        )
    for name in given:
        if name not in (ARMED_ALONE, *names):
            raise UsageError(f"--arm {name}: the session has no such venue; {nearest(name, names)}")
    chosen = [venue for venue in venues if ARMED_ALONE in given or venue.name in given]
    return [venue for venue in chosen or venues if check_armed(venue, mode, bool(given))]


def check_armed(venue: Venue, mode: str, armed: bool) -> bool:
    """Return whether orders are real. Raises SafetyRefusal when venue, mode and `--arm` do not agree."""
    if (mode == "live" or armed) and not venue.has_orders:
        raise SafetyRefusal(f"the venue {venue.name!r} takes no real orders; trade on it with --mode paper")
    if mode == "live" and not armed:
        raise SafetyRefusal("the mode is live, which sends real orders, but it is not armed; add --arm")
    if armed and mode != "live":
        raise SafetyRefusal("--arm is given, but the mode is paper; add --mode live")
    return armed
