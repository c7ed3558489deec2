"""The console script ``tweakreg``, for what ``strun`` has no word for."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tweakreg.errors import OutputError, TweakRegError


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
    _add_correction(commands)
    _add_refcat(commands)
    options = parser.parse_args(arguments)
    try:
        return {"demo": _demo, "correction": _correction, "refcat": _refcat}[options.command](options)
    except TweakRegError as error:
        print(f"tweakreg {options.command}: {error}", file=sys.stderr)
        return 1


def _add_correction(commands: Any) -> None:
    correction = commands.add_parser("correction", help="apply, undo, compose or show corrections from save_correction")
    actions = correction.add_subparsers(dest="action", required=True)
    for name, text in (
        ("apply", "correct exposures; the inputs stay as they are"),
        ("undo", "write exposures with the WCS that they had before"),
    ):
        action = actions.add_parser(name, help=text)
        action.add_argument("correction", type=Path, help="file from save_correction")
        action.add_argument("exposures", type=Path, nargs="+")
        action.add_argument("--output-dir", type=Path, default=Path(), help="folder for the results [.]")
        action.add_argument("--suffix", default="tweakreg" if name == "apply" else "original", help="[%(default)s]")
    compose = actions.add_parser("compose", help="join two corrections into one")
    compose.add_argument("first", type=Path)
    compose.add_argument("second", type=Path, help="made for what the first makes")
    compose.add_argument("--output", type=Path, required=True)
    for action in list(actions.choices.values()):
        action.add_argument("--any-wcs", action="store_true", help="also for a WCS that it was not made for")
    actions.add_parser("show", help="say what a correction is").add_argument("correction", type=Path)
    compose.add_argument("--author", help="who composed it")
    compose.add_argument("--description", help="what it is for")


def _add_refcat(commands: Any) -> None:
    refcat = commands.add_parser("refcat", help="fetch reference catalogs")
    fetch = refcat.add_subparsers(dest="action", required=True).add_parser(
        "fetch", help="fetch the stars around exposures into one file, which can be an abs_refcat"
    )
    fetch.add_argument("inputs", type=Path, nargs="+", help="an association, or exposures")
    fetch.add_argument("-o", "--output", type=Path, required=True, help="new file, .parquet or .ecsv")
    fetch.add_argument("--catalog", default="GAIADR3", help="a name, or the URL or folder of a HATS catalog [GAIADR3]")
    fetch.add_argument("--margin", type=float, default=60.0, help="beyond the exposures, arcsec [60]")
    fetch.add_argument("--timeout", type=float, default=30.0, help="for each answer, seconds [30]")
    fetch.add_argument("--retries", type=int, default=2, help="how often to ask again [2]")


def _refcat(options: argparse.Namespace) -> int:
    from tweakreg.pipeline.reference import write_bundle

    number = write_bundle(
        options.inputs, options.output, options.catalog, options.margin, options.timeout, options.retries
    )
    print(f"Wrote {number} stars to {options.output}")
    return 0


def _correction(options: argparse.Namespace) -> int:
    from dataclasses import replace

    from tweakreg.corrections import change as corrections

    if options.action == "show":
        print(corrections.describe(corrections.read_correction(options.correction)))
    elif options.action == "compose":
        if options.output.resolve() in (options.first.resolve(), options.second.resolve()):
            raise OutputError(f"the result would replace the input {options.output}: set another --output")
        first, second = map(corrections.read_correction, (options.first, options.second))
        composed = corrections.compose(first, second, any_wcs=options.any_wcs)
        given = {name: getattr(options, name) for name in ("author", "description") if getattr(options, name)}
        corrections.write_correction(replace(composed, **given), options.output)
        print(f"Wrote {options.output}")
    else:
        change = corrections.apply_to if options.action == "apply" else corrections.undo
        correction = corrections.read_correction(options.correction)
        written = corrections.change_files(
            change, correction, options.exposures, options.output_dir, options.suffix, any_wcs=options.any_wcs
        )
        print("\n".join(f"Wrote {path}" for path in written))
    return 0


def _demo(options: argparse.Namespace) -> int:
    from tweakreg.simulate.demo import run_demo

    return run_demo(options.directory, options.size, options.exposures, options.seed, options.plot)
