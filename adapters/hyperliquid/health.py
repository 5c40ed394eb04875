"""What a feed has counted, and the limits it keeps: read by the supervisor and by tests."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

__all__ = ["FeedHealth", "FeedLimits"]


@dataclass(slots=True)
class FeedHealth:
    """Counts since the feed was made.

    `dropped` by reason: "foreign" (a coin we do not follow), "time" (a venue time that cannot be),
    "old" (before the start, or forgotten), "stale-quote" (older than one already told), "crossed",
    "channel" (not market data).
    """

    live: bool = False
    frames: int = 0
    events: int = 0
    batches: int = 0
    duplicates: int = 0
    conflicts: int = 0
    frames_refused: int = 0
    frames_oversize: int = 0
    venue_errors: int = 0
    connections: int = 0
    losses: int = 0
    gaps_closed: int = 0
    gaps_open: int = 0
    pending_high: int = 0
    last_frame_ns: int = 0
    last_loss: str = ""
    dropped: Counter[str] = field(default_factory=Counter)


@dataclass(frozen=True, slots=True)
class FeedLimits:
    """Every bound of a feed; seconds are real seconds."""

    connect_s: float = 10.0  # dialing, TLS and websocket handshake together
    confirm_s: float = 10.0  # every subscription confirmed
    send_s: float = 5.0  # one message of ours written
    ping_s: float = 10.0
    pong_s: float = 8.0  # a ping without any frame after it for so long ends the connection
    close_s: float = 1.0  # waiting for the venue's half of a close
    stable_s: float = 60.0  # a connection live for so long starts the backoff anew
    backoff_s_min: float = 0.5
    backoff_s_max: float = 30.0
    replay_s: float = 5.0  # a coin silent for so long after a reconnect is asked about
    backfill_s: float = 3.0  # one question for missed prints
    backfills_max: int = 20  # questions per connection: each costs 21 of 1200 per minute
    frames_queued_max: int = 256  # messages read from the socket and not yet decoded
    pending_max: int = 4096  # events decoded and not yet taken by the engine
    held_bytes_max: int = 16 << 20  # messages that came before every subscription was confirmed
    waiting_max: int = 10_000  # prints of one coin held while missed ones are asked for
