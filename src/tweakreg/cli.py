"""The console script ``tweakreg``, for what ``strun`` has no word for."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from tweakreg.errors import TweakRegError


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command and return its exit code: 0, 1 after an error in its input, 2 for a wrong command line."""
    parser = argparse.ArgumentParser(
        prog="tweakreg", description="Align astronomical exposures. See also: strun -h tweakreg"
    )
    commands = parser.add_subparsers(dest="command", required=True)
    demo = commands.add_parser(
        "demo", help="simulate exposures, align them with strun, and show the errors before and after"
    )
    demo.add_argument("directory", nargs="?", type=Path, default=Path("demo"), help="new folder for the files [demo]")
    demo.add_argument("--size", type=int, default=1024, help="pixels per side of a detector [1024]")
    demo.add_argument("--exposures", type=int, default=4, help="number of exposures [4]")
    demo.add_argument("--seed", type=int, default=0, help="seed of the random numbers [0]")
    demo.add_argument("--plot", type=Path, help="also draw the errors before and after into this file")
    options = parser.parse_args(arguments)
    try:
        return _demo(options)
    except TweakRegError as error:
        print(f"tweakreg {options.command}: {error}", file=sys.stderr)
        return 1


def _demo(options: argparse.Namespace) -> int:
    from tweakreg.simulate.demo import run_demo

    return run_demo(options.directory, options.size, options.exposures, options.seed, options.plot)
