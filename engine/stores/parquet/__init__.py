"""Rows as Parquet files, in folders by table and day, for DuckDB, Polars and pandas."""
