"""Events into rows: the tables, and what each event changes in them. Knows no database."""
