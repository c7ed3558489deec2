"""The console script ``tweakreg``, for what ``strun`` has no word for: a module a command.

Each has `add`, which says what the command takes, and `run`, which does it.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from tweakreg.cli import correction, demo, refcat
from tweakreg.errors import TweakRegError

_COMMANDS = {"demo": demo, "correction": correction, "refcat": refcat}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command and return its exit code: 0, 1 after an error in its input, 2 for a wrong command line."""
    parser = argparse.ArgumentParser(
        prog="tweakreg", description="Align astronomical exposures. See also: strun -h tweakreg"
    )
    commands = parser.add_subparsers(dest="command", required=True)
    for name, command in _COMMANDS.items():
        command.add(commands.add_parser(name, help=command.HELP))
    options = parser.parse_args(arguments)
    try:
        return int(_COMMANDS[options.command].run(options))
    except TweakRegError as error:
        print(f"tweakreg {options.command}: {error}", file=sys.stderr)
        return 1
