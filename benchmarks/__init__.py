"""Measurements: `make bench`. Every number is a ratio within one run, because machines differ."""
