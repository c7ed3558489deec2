"""``tweakreg correction apply``, ``undo``, ``compose`` and ``show``."""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path

from tweakreg.errors import OutputError

HELP = "apply, undo, compose or show corrections from save_correction"


def add(parser: argparse.ArgumentParser) -> None:
    """What the command takes."""
    actions = parser.add_subparsers(dest="action", required=True)
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


def run(options: argparse.Namespace) -> int:
    """Do it; the exit code."""
    from tweakreg.corrections.file import read_correction

    if options.action == "show":
        print(read_correction(options.correction))
    elif options.action == "compose":
        _compose(options)
    else:
        _change(options)
    return 0


def _compose(options: argparse.Namespace) -> None:
    from tweakreg.corrections.file import read_correction, write_correction
    from tweakreg.corrections.record import compose_corrections

    if options.output.resolve() in (options.first.resolve(), options.second.resolve()):
        raise OutputError(f"the result would replace the input {options.output}: set another --output")
    first, second = map(read_correction, (options.first, options.second))
    composed = compose_corrections(first, second, any_wcs=options.any_wcs)
    given = {name: getattr(options, name) for name in ("author", "description") if getattr(options, name)}
    write_correction(replace(composed, **given), options.output)
    print(f"Wrote {options.output}")


def _change(options: argparse.Namespace) -> None:
    from tweakreg.corrections.change import apply_to_image, change_files, plan_outputs, undo_in_image
    from tweakreg.corrections.file import read_correction

    change = apply_to_image if options.action == "apply" else undo_in_image
    correction = read_correction(options.correction)
    outputs = plan_outputs(options.exposures, options.output_dir, options.suffix)
    written = change_files(change, correction, options.exposures, outputs, any_wcs=options.any_wcs)
    print("\n".join(f"Wrote {path}" for path in written))
