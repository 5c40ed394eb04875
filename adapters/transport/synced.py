"""The order book of one instrument, kept in step with the venue by snapshots and diffs.

Owns the book and its state: "syncing" (it holds nothing that may be used), "good", or "unverified" (used,
though the venue's checksum never matched).

    syncing -> snapshot joined with diffs -> good -> a diff is missing, or the checksum fails -> syncing

Promises: a book is read only in step; a missing diff, a wrong checksum, a book that a diff leaves crossed, or
one of which no level is known, breaks it, with the reason; memory is bounded; the same messages at the
same times give the same reads. No I/O, no clock. Called by `books.py`, and by decoders of recorded messages.

A venue's snapshot is *pulled* (an answer to a request, while diffs wait for it) or *pushed* (the first
message of a subscription, before its diffs).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Final

from adapters.transport.levels import OrderBook
from adapters.transport.sequence import Diff, Fit, SequenceRule, Snapshot
from engine.events import BookRead, InstrumentListed

__all__ = ["EVERY_MS", "EVERY_NS", "LEVELS", "SyncedBook", "Verify"]

LEVELS: Final = 20
"""Levels of a side that are read."""

EVERY_MS: Final = 100
"""A book is read at most once in this time."""

EVERY_NS: Final = EVERY_MS * 1_000_000

_DIFFS_MAX: Final = 2_000
_DIFF_LEVELS_MAX: Final = 100_000
_FAILURES_MAX: Final = 3

_THIN: Final = 4
"""A book of which fewer than so many times the levels that are read are known needs a new snapshot."""

Verify = Callable[[OrderBook, object], bool]
"""Whether the venue's checksum is that of the book."""


class SyncedBook:
    """The book of `listed`. `depth`: see `OrderBook`. `verify`, if given, checks snapshots and diffs that
    have a checksum."""

    def __init__(
        self,
        listed: InstrumentListed,
        rule: SequenceRule,
        *,
        pulled: bool,
        levels: int = LEVELS,
        every_ms: int = EVERY_MS,
        depth: int = 0,
        verify: Verify | None = None,
    ) -> None:
        self.listed = listed
        self.pulled = pulled
        self.state = "syncing"
        self._rule = rule
        self._levels = levels
        self._every_ns = every_ms * 1_000_000
        self._verify = verify
        self._book = OrderBook(depth)
        self._at = 0
        self._joining = False  # a snapshot waits for the diff that joins it
        # Diffs that wait for a snapshot: of a pulled one only.
        self._waiting: deque[Diff] = deque()
        self._waiting_levels = 0
        # A newer snapshot of a book in step is asked for: diffs are kept for it, and it for the next diffs.
        self._refreshing = False
        self._fresh: Snapshot | None = None
        self._venue_ns = 0
        self._crossed = False  # by a snapshot: the venue's own state
        self._matched = False
        self._failures = 0
        self._unverified = False
        self._notice = ""
        self._changed = False
        self._read_ns = -self._every_ns
        self._last: object = None

    @property
    def waits(self) -> bool:
        """Whether diffs wait for a snapshot."""
        return bool(self._waiting)

    @property
    def thin(self) -> bool:
        """Whether a book in step should get a new snapshot: the market moved to where the last one ended."""
        return self.pulled and self.state != "syncing" and not self._book.knows(_THIN * self._levels)

    def refresh(self) -> None:
        """Keep the diffs from now on for a new snapshot, which replaces the levels and not the state."""
        self._refreshing = True

    def take_snapshot(self, snapshot: Snapshot) -> str:
        """Replace the book. Return why it cannot be used, "" if it can, or waits for its first diff.

        A pulled snapshot of a book that is in step is left out, unless `refresh` was called.
        """
        if self.pulled and self.state != "syncing":
            if self._refreshing:
                self._fresh = snapshot
                self._take_fresh()
            return ""
        self._begin(snapshot)
        if self._fails(snapshot.check):
            return self.lose(f"the checksum of the snapshot {self._wrong()}")
        if not self.pulled:
            self._become_good()
            return ""
        self._joining = True
        waiting, self._waiting, self._waiting_levels = self._waiting, deque(), 0
        while waiting:
            reason = self.take_diff(waiting.popleft())
            if reason:
                for diff in waiting:
                    self._keep(diff)
                return reason
        return ""

    def take_diff(self, diff: Diff) -> str:
        """Apply a diff, or keep it until a snapshot comes. Return why the book is out of step, "" if not."""
        if self.state == "syncing" and not self._joining:
            if self.pulled:
                self._keep(diff)
            return ""
        joining = self._joining
        fit = (self._rule.joins if joining else self._rule.follows)(self._at, diff)
        if fit is Fit.OLD:
            return ""
        if fit is Fit.MISSING:
            reason = (
                f"the snapshot {self._at} is older than the update {diff.first}"
                if joining
                else f"updates between {self._at} and {diff.first if diff.before is None else diff.before} "
                "are missing"
            )
            self.lose(reason)
            if self.pulled:
                self._keep(diff)
            return reason
        self._book.apply(diff.bids, diff.asks)
        self._at = diff.last
        if self._refreshing:
            self._keep(diff)
            self._take_fresh()
        self._venue_ns = diff.venue_ns
        self._changed = True
        if self._fails(diff.check):
            return self.lose(f"the checksum {self._wrong()}")
        if self._book.crossed:
            if not self._crossed:
                return self.lose("the best bid is not below the best ask")
        else:
            self._crossed = False
        if not self._book.knows(1):
            return self.lose("no level of a side is known")
        if joining:
            self._become_good()
        return ""

    def lose(self, reason: str) -> str:
        """Leave the book out of step until the next snapshot. Return the reason."""
        self.state = "syncing"
        self._joining = False
        self._end_refresh()
        self._changed = False
        self._last = None
        return reason

    def take_notice(self) -> str:
        """Return, once, that the book is used unverified from now on, or verified again; "" otherwise."""
        notice, self._notice = self._notice, ""
        return notice

    def read(self, now_ns: int, *, waited: bool = False) -> BookRead | None:
        """Return the best levels if they changed and are due at `now_ns`; else None.

        `waited`: the change came before `now_ns`, so it was due once the time was over. The messages and
        their times alone then decide which states are read, whenever this is called.
        """
        if not self._changed or self.state == "syncing":
            return None
        if 0 <= now_ns - self._read_ns < self._every_ns:
            return None
        self._changed = False
        top = self._book.top(self._levels)
        if top == self._last:
            return None
        self._last = top
        self._read_ns = self._read_ns + self._every_ns if waited else now_ns
        return BookRead(now_ns, self._venue_ns, self.listed.instrument, *top)

    def now(self, now_ns: int) -> BookRead | None:
        """Return the best levels, changed or not and however often; None out of step. See `read`."""
        if self.state == "syncing":
            return None
        return BookRead(now_ns, self._venue_ns, self.listed.instrument, *self._book.top(self._levels))

    def _take_fresh(self) -> None:
        """Replace the levels by a newer snapshot once the diffs since then are all here."""
        if self._fresh is None or self._fresh.last > self._at:
            return
        at = self._fresh.last
        newer: list[Diff] = []
        for diff in self._waiting:
            fit = (self._rule.follows if newer else self._rule.joins)(at, diff)
            if fit is Fit.NEXT:
                newer.append(diff)
                at = diff.last
            elif fit is Fit.MISSING:
                break
        if at == self._at:
            self._book.replace(self._fresh.bids, self._fresh.asks, whole=self._fresh.whole)
            for diff in newer:
                self._book.apply(diff.bids, diff.asks)
            self._changed = True
            self._end_refresh()
        else:
            self._fresh = None  # it is older than the diffs that were kept: another one is asked for

    def _end_refresh(self) -> None:
        self._refreshing = False
        self._fresh = None
        self._waiting.clear()
        self._waiting_levels = 0

    def _begin(self, snapshot: Snapshot) -> None:
        self._book.replace(snapshot.bids, snapshot.asks, whole=snapshot.whole)
        self._at = snapshot.last
        self._venue_ns = snapshot.venue_ns
        self._crossed = self._book.crossed
        self._changed = True

    def _become_good(self) -> None:
        self._joining = False
        self.state = "unverified" if self._unverified else "good"

    def _keep(self, diff: Diff) -> None:
        """Keep a diff for the next snapshot; the oldest ones are dropped beyond a bound."""
        self._waiting.append(diff)
        self._waiting_levels += len(diff.bids) + len(diff.asks)
        while len(self._waiting) > _DIFFS_MAX or self._waiting_levels > _DIFF_LEVELS_MAX:
            dropped = self._waiting.popleft()
            self._waiting_levels -= len(dropped.bids) + len(dropped.asks)

    def _fails(self, check: object) -> bool:
        """Check a checksum. Return whether the book is broken by it."""
        if self._verify is None or check is None:
            return False
        if self._verify(self._book, check):
            if self._unverified:
                self._note("the checksum matches now; the book is verified", unverified=False)
            self._matched = True
            self._failures = 0
            return False
        self._failures += 1
        if not self._matched and not self._unverified and self._failures >= _FAILURES_MAX:
            self._note(
                f"the checksum never matched in {_FAILURES_MAX} tries; the book is used unverified",
                unverified=True,
            )
        return not self._unverified

    def _note(self, notice: str, *, unverified: bool) -> None:
        self._notice = notice
        self._unverified = unverified
        if self.state != "syncing":
            self._become_good()

    def _wrong(self) -> str:
        return f"does not match (failure {self._failures} in a row)"
