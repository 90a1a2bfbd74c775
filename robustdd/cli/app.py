"""The command line: which commands there are, and how each of them ends."""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable, Sequence
from importlib import import_module

import typer

from robustdd.errors import RobustddError

COMMANDS = ("check", "plan", "verify", "prune", "table", "export")
"""Each is the function of that name in the module of that name."""


def main(arguments: Sequence[str] | None = None) -> None:
    """Run one command and exit: 0, 2 for the user's mistakes, 1 for other failures, 130 for Ctrl-C."""
    given = sys.argv[1:] if arguments is None else list(arguments)
    # Only the command that is asked for is imported, so that `check` answers before torch is there.
    asked = [name for name in COMMANDS if given and name == given[0]]
    app = typer.Typer(add_completion=False, no_args_is_help=True, pretty_exceptions_enable=False, rich_markup_mode=None)
    app.callback()(_about)
    for name in asked or COMMANDS:
        app.command(name)(run(getattr(import_module(f"robustdd.cli.{name}"), name)))
    app(given, prog_name="python -m robustdd")


def run(command: Callable[..., None]) -> Callable[..., None]:
    """`command`, with its failure told in one line on stderr and its exit code; never a traceback for a known error."""

    @functools.wraps(command)
    def guarded(*values: object, **options: object) -> None:
        try:
            command(*values, **options)
        except RobustddError as error:
            print(f"error: {error}", file=sys.stderr)
            raise typer.Exit(error.exit_code) from None
        except KeyboardInterrupt:
            print("error: interrupted", file=sys.stderr)
            raise typer.Exit(130) from None

    return guarded


def _about() -> None:
    """Tools on the params, data and artifacts of robustdd's studies."""
