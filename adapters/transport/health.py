"""Counters of a feed, and its limits. Read by commands, for people, and by tests."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

__all__ = ["FeedHealth", "FeedLimits"]

CLOCKS = "compare this machine's clock with the venue's"


@dataclass(slots=True)
class FeedHealth:
    """Counts since the feed was made.

    `dropped` by reason: "foreign" (an instrument not of the session), "time" (an impossible venue time),
    "old" (before the start, or no longer remembered), "stale-quote" and "stale-book" (older than one emitted
    before), "crossed", "interval" (a candle of another), "channel" (not market data, or not subscribed to).

    `probes` counts checks of silent subscriptions, `silences` those that were dead. `windows_repaired` counts
    candles that replace missed trades, `windows_lost` those that the venue did not return.

    `frames_refused` counts messages of which nothing could be used, `damages` all that was left out of
    messages. `prints` are the trades emitted, `prints_refused` those that came live and too old. `renewals`
    counts silent subscriptions that were renewed by themselves. `set_aside` names the subscriptions that the
    venue does not confirm, or that make it close the connection, each with the reason.

    `lags_s` is how old the newest proof of each connection is (`proof.py`), in real seconds, and `lagging`
    whether one is too old. Two seconds are usual in a quiet market, which only pings prove.
    """

    live: bool = False
    frames: int = 0
    events: int = 0
    batches: int = 0
    duplicates: int = 0
    conflicts: int = 0
    frames_refused: int = 0
    frames_oversize: int = 0
    damages: int = 0
    prints: int = 0
    prints_refused: int = 0
    renewals: int = 0
    set_aside: dict[str, str] = field(default_factory=dict)
    venue_errors: int = 0
    connections: int = 0
    losses: int = 0
    gaps_closed: int = 0
    gaps_open: int = 0
    probes: int = 0
    silences: int = 0
    windows_repaired: int = 0
    windows_lost: int = 0
    checks: int = 0
    polls: int = 0
    pending_high: int = 0
    last_frame_ns: int = 0
    last_loss: str = ""
    lags_s: tuple[float, ...] = ()
    lagging: bool = False
    dropped: Counter[str] = field(default_factory=Counter)

    def __str__(self) -> str:
        """Return one line."""
        dropped = "".join(f", {name} {count}" for name, count in sorted(self.dropped.items()))
        untimely = self.prints_refused + self.dropped["time"]
        return (
            (f"NO TRADE COULD BE USED: {untimely} too old or too new, {CLOCKS}; " if self.all_refused else "")
            + "".join(f"SET ASIDE: {label} {why}; " for label, why in self.set_aside.items())
            + (
                f"LAGGING: what is read is {max(self.lags_s):.0f} s old; "
                if self.lagging and self.lags_s
                else ""
            )
            + f"frames {self.frames} (refused {self.frames_refused}), values damaged {self.damages}, "
            f"trades repeated {self.duplicates}, "
            f"connections {self.connections}, losses {self.losses}, "
            f"gaps {self.gaps_closed} closed {self.gaps_open} open, silent channels {self.silences}, "
            f"bars repaired {self.windows_repaired}, checks {self.checks}{dropped}{self._lags()}"
        )

    def _lags(self) -> str:
        """Return the age of the proof of each connection."""
        return f", lag {' '.join(f'{one:.1f}' for one in self.lags_s)} s" if self.lags_s else ""

    @property
    def all_refused(self) -> bool:
        """Whether trades came and every one was refused as too old or too new."""
        return not self.prints and self.prints_refused + self.dropped["time"] > 0


@dataclass(frozen=True, slots=True)
class FeedLimits:
    """Every bound of a feed; seconds are real seconds."""

    connect_s: float = 10.0  # dialing, TLS and websocket handshake together
    confirm_s: float = 10.0  # every subscription confirmed
    send_s: float = 5.0  # one message of ours written
    ping_s: float = 10.0
    pong_s: float = 8.0  # no frame for this long after a ping ends the connection
    heard_s: float = 0.0  # how often a feed reports that it hears every connection; 0: never
    window_ns: int = 0  # the shortest window of bars, whose end is proved at once; 0: none (the venue's time)
    late_ns: int = 0  # how long after its time the venue may still send a trade (the venue's time)
    lag_s: float = 5.0  # a connection whose newest proof is older is too late
    close_s: float = 1.0  # waiting for the venue's half of a close
    stable_s: float = 60.0  # a connection up for this long resets the backoff
    backoff_s_min: float = 0.5
    backoff_s_max: float = 30.0
    replay_s: float = 5.0  # an instrument silent for this long after a reconnect is checked
    backfill_s: float = 3.0  # one request for missed trades
    backfills_max: int = 20  # such requests per connection: each costs weight
    frames_queued_max: int = 32  # messages of up to 1 MiB, read from the socket and not yet decoded
    pending_max: int = 4096  # events decoded and not yet taken by the engine
    held_bytes_max: int = 16 << 20  # messages that came before every subscription was confirmed
    waiting_max: int = 10_000  # trades of one instrument held while missed ones are read
    doubt_s: float = 1.0  # after damage, until the newest trades are read; doubled while doubts follow
    doubt_s_max: float = 16.0
    calm_s: float = 10.0  # a doubt this long after the last one waits `doubt_s` again
    doubt_tries_max: int = 3  # requests that settle one doubt
    messages_judged: int = 20  # a connection is given up if more than half of its newest so many are unusable
    damages_at_once: int = 20  # damages reported at once, beside those that begin a doubt
    damage_every_s: float = 6.0  # after that, one for each of these periods
    settle_s: float = 2.0  # a subscription is accepted if the connection lives so long after its confirmation
    early_s: float = (
        5.0  # a connection that ends so soon after it was up was perhaps closed for a subscription
    )
    soon_s: float = 60.0  # a subscription is suspected if no connection lived `early_s` for so long
    aside_s: float = 60.0  # until a subscription that was set aside is tried again; doubled each time
    aside_s_max: float = 900.0
    subscriptions_max: int = 200  # of one connection
    stale_s: float = 7.0  # a busy subscription silent for this long is probed
    quiet_s: float = 60.0  # any other subscription
    quiet_s_max: float = 300.0  # upper bound: each probe that finds nothing doubles the wait
    probe_every_s: float = 5.0  # between probes of quiet ones: each costs weight
    proof_s: float = 2.0  # after a probe, how long the stream has to deliver what the probe returned
    probe_s: float = 3.0  # one request about a silent subscription
    grace_s: float = 3.0  # after a window's end, until the venue's candle has its last trade
    repair_retry_s: float = 30.0  # between tries to read a missing candle
    repair_tries_max: int = 4
    repairs_max: int = 1000  # spans of windows waiting to be read; bars of further ones stay incomplete
    poll_s: float = 10.0  # between two polls of an instrument while its stream is down
    check_windows_max: int = 8  # closed windows of one interval compared at a time
