"""Entry point of the command `engine` and of `python -m engine`, before any large import."""

from __future__ import annotations

from engine import stopping

__all__ = ["main"]


def main() -> None:
    """Run the command line; a signal during the imports ends it with one line."""
    stopping.end_at_once()
    from engine import cli

    cli.main()


if __name__ == "__main__":
    main()
