"""The console script ``tweakreg``, for what ``strun`` has no word for: a module a command.

Each has `add`, which says what the command takes, and `run`, which does it.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from tweakreg.cli import correction, demo, refcat
from tweakreg.errors import TweakRegError
from tweakreg.process import Terminated, terminable

_COMMANDS = {"demo": demo, "correction": correction, "refcat": refcat}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command and return its exit code.

    It is 0, 1 after an error in the input, 2 for a wrong command line, 130 and 143 after SIGINT and SIGTERM.
    """
    parser = argparse.ArgumentParser(
        prog="tweakreg", description="Align astronomical exposures. See also: strun -h tweakreg"
    )
    commands = parser.add_subparsers(dest="command", required=True)
    for name, command in _COMMANDS.items():
        command.add(commands.add_parser(name, help=command.HELP))
    options = parser.parse_args(arguments)
    try:
        with terminable():
            return int(_COMMANDS[options.command].run(options))
    except TweakRegError as error:
        problem, code = str(error), 1
    except KeyboardInterrupt:
        problem, code = "interrupted", 130
    except Terminated as error:
        problem, code = "terminated", error.exit_status
    print(f"tweakreg {options.command}: {problem}", file=sys.stderr)
    return code
