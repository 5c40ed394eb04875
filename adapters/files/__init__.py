"""Data files: CSV, JSON lines and Parquet, trades or candles, into days of a journal."""

from adapters.files.importer import ImportProgress, ImportReport, import_file

__all__ = ["ImportProgress", "ImportReport", "import_file"]
