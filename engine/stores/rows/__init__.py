"""Converts events to rows: the tables, and what each event changes in them. Independent of any database."""
