"""Benchmarks, run by `make bench`. Compare ratios within one run, because machines differ."""
