"""Performance of recorded days: metrics, round trips, drawdowns. No I/O."""
