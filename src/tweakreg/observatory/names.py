"""Names of exposures and of what is made of them."""

from __future__ import annotations

import re
from pathlib import Path

_SUFFIXES = {
    "cal", "calints", "crf", "crfints", "flc", "flt", "i2d", "rate", "rateints",
    "s2d", "skymatch", "skymatchstep", "tweakreg", "tweakregstep",
}  # fmt: skip


def bare_name(filename: str | Path) -> str:
    """File name without folder and ending: ``a/b_cal.fits.gz`` gives ``b_cal``."""
    name = Path(filename).name
    for ending in (".gz", ".fits", ".asdf", ".ecsv"):
        name = name.removesuffix(ending)
    return name


def ending_of(filename: str | Path) -> str:
    """Of a file that may be compressed, in small letters: ``a.fits.gz`` gives ``.fits``."""
    return Path(Path(filename).name.lower().removesuffix(".gz")).suffix


def stem(filename: str | Path) -> str:
    """File name without folder, ending and one known suffix: ``a_cal.fits.gz`` gives ``a``."""
    name = bare_name(filename)
    base, _, last = name.rpartition("_")
    return base if base and last.lower() in _SUFFIXES else name


def file_name(text: str) -> str:
    """What of a text can be the name of a file: the last part of a path, without what does not show; may be empty."""
    last = re.split(r"[/\\]", text.rstrip("/\\ "))[-1]
    return "".join(letter for letter in last if letter.isprintable()).strip().lstrip(".")
