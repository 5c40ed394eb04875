"""A store with other tables is one of another version: it is made again, and never written as it is."""

from __future__ import annotations

import hashlib

from engine.stores.rows.tables import SCHEMA_VERSION, TABLES
from engine.stores.rows.views import VIEWS

VERSION, DIGEST = 9, "1e63b092350b283c"


def test_tables_or_views_that_change_raise_the_version() -> None:
    """Without it a store that was written before has no place for a new column, and stays behind for good."""
    shapes = [(name, repr(shape)) for name, shape in TABLES.items()]
    text = repr((shapes, sorted(VIEWS.items())))
    digest = hashlib.blake2b(text.encode(), digest_size=8).hexdigest()
    assert (SCHEMA_VERSION, digest) == (VERSION, DIGEST), "raise SCHEMA_VERSION, then write both here"
