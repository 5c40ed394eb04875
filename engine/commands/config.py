"""`engine config`: every key of the configuration, its default and what it means."""

from __future__ import annotations

import click

from engine.commands.output import json_option, print_json
from engine.config import as_markdown, keys, nearest
from engine.errors import UsageError

__all__ = ["config_command"]


@click.command("config")
@click.argument("section", required=False)
@click.option("--markdown", is_flag=True, help="As the table of docs/configuration.md.")
@json_option
def config_command(section: str | None, markdown: bool, as_json: bool) -> None:
    """List the keys of a configuration file with their defaults, all or those of one SECTION.

    The output is a valid configuration file: every key with its default, below its description.
    """
    found = list(keys())
    if section is not None:
        wanted = section.strip("[]")
        names = list(dict.fromkeys(key.section.strip("[]") for key in found if key.section))
        if wanted not in names:
            raise UsageError(f"there is no section {section!r}; {nearest(wanted, names)}")
        found = [key for key in found if key.section.strip("[]") == wanted]
    if as_json:
        print_json([key._asdict() for key in found])
        return
    if markdown:
        click.echo(as_markdown(found), nl=False)
        return
    shown = ""
    for key in found:
        # A section that the defaults do not have is printed as a comment, unless it is asked for.
        mark = "# " if key.optional and section is None else ""
        if key.section != shown:
            click.echo(f"\n{mark}{key.section}")
            shown = key.section
        click.echo(f"# {key.description}\n{mark}{key.name} = {key.default}")
