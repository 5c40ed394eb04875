"""Stores: rows of the journal for people and their tools. Nothing deterministic reads them.

A store may lag, fail, or be deleted; its rows are then rebuilt from the journal. `store.py` is the port
that every kind of store implements, `writer.py` and `catchup.py` call it, `rows/` makes rows of events,
`kinds.py` finds a kind by its name in the configuration.
"""
