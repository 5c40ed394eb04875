"""The operator's HTTP interface of a running engine: a Unix socket in the journal, and TCP when asked."""
