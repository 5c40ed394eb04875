"""Data files into days of a journal."""

from adapters.files.importer import import_files
from adapters.files.reports import FileReport, ImportProgress, ImportReport, InstrumentReport

__all__ = ["FileReport", "ImportProgress", "ImportReport", "InstrumentReport", "import_files"]
