"""Lets `python -m engine` be the command `engine`."""

from engine.cli import main

if __name__ == "__main__":
    main()
