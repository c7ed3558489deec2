"""``tweakreg refcat fetch``."""

from __future__ import annotations

import argparse
from pathlib import Path

from tweakreg.spec import DEFAULTS

HELP = "fetch reference catalogs"


def add(parser: argparse.ArgumentParser) -> None:
    """What the command takes."""
    fetch = parser.add_subparsers(dest="action", required=True).add_parser(
        "fetch", help="fetch the stars around exposures into one file, which can be an abs_refcat"
    )
    fetch.add_argument("inputs", type=Path, nargs="+", help="an association, or exposures")
    fetch.add_argument("-o", "--output", type=Path, required=True, help="new file, .parquet or .ecsv")
    fetch.add_argument(
        "--catalog", default="GAIADR3", help="a name, or the URL or folder of a HATS catalog [%(default)s]"
    )
    fetch.add_argument("--margin", type=float, default=60.0, help="beyond the exposures, arcsec [%(default)s]")
    waiting = {"default": DEFAULTS["service_timeout"], "help": "for each answer, seconds [%(default)s]"}
    fetch.add_argument("--timeout", type=float, **waiting)
    again = {"default": DEFAULTS["service_retries"], "help": "how often to ask again [%(default)s]"}
    fetch.add_argument("--retries", type=int, **again)


def run(options: argparse.Namespace) -> int:
    """Do it; the exit code."""
    from tweakreg.pipeline.reference import write_bundle
    from tweakreg.reference.service import Patience

    patience = Patience(timeout=options.timeout, retries=options.retries)
    number = write_bundle(options.inputs, options.output, options.catalog, options.margin, patience)
    print(f"Wrote {number} stars to {options.output}")
    return 0
