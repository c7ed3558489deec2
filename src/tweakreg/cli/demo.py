"""``tweakreg demo``."""

from __future__ import annotations

import argparse
from pathlib import Path

HELP = "simulate exposures, align them with strun, and show the errors before and after"


def add(parser: argparse.ArgumentParser) -> None:
    """What the command takes."""
    parser.add_argument("directory", nargs="?", type=Path, default=Path("demo"), help="new folder for the files [demo]")
    parser.add_argument(
        "--mission", choices=["jwst", "roman", "hst"], default="jwst", help="whose exposures [%(default)s]"
    )
    parser.add_argument("--size", type=int, default=1024, help="pixels per side of a detector [%(default)s]")
    parser.add_argument("--exposures", type=int, default=4, help="number of exposures [%(default)s]")
    parser.add_argument("--seed", type=int, default=0, help="seed of the random numbers [%(default)s]")
    parser.add_argument("--plot", type=Path, help="also draw the errors before and after into this file")


def run(options: argparse.Namespace) -> int:
    """Do it; the exit code."""
    from tweakreg.simulate.demo import run_demo

    return run_demo(
        options.directory, options.size, options.exposures, options.seed, options.plot, mission=options.mission
    )
