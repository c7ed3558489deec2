"""What a name on a command line may stand for: a file, several, or a list of them."""

from __future__ import annotations

import glob
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tweakreg.errors import AssociationError, InputError, first_line
from tweakreg.files import at_home, exists, is_folder

#: Letters that make a pattern of a name.
_PATTERN = re.compile(r"[*?\[]")
#: What is made of an exposure, best first, and rows of an association table that name exposures and products.
_CALIBRATED = ("flc", "flt", "c0m")
_EXPOSURE, _PRODUCT = "EXP-", "PROD-"


def exposures_named(name: str) -> Iterator[Path | dict[str, Any]]:
    """The files, or the association, that a name stands for.

    Parameters
    ----------
    name : str
        A file; names with commas between them; a pattern with ``*``, ``?`` or ``[``, whose files come sorted; ``@`` and
        a file with a name in each line; or an HST association table. What exists as a file is that file.

    Raises
    ------
    InputError
        It is a folder, a pattern that nothing fits, or a list that cannot be read.
    AssociationError
        An association table names an exposure that is not beside it.
    """
    path = at_home(name)
    if is_folder(path):
        raise InputError(path, "is a folder: name the exposures in it, or an association of them")
    if exists(path) or "://" in name:
        yield _association_of(path) if path.name.lower().endswith("_asn.fits") else path
    elif "," in name:
        for part in filter(None, (each.strip() for each in name.split(","))):
            yield from exposures_named(part)
    elif name.startswith("@"):
        yield from _listed(at_home(name[1:]))
    elif _PATTERN.search(name):
        found = sorted(glob.glob(str(path)))  # noqa: PTH207 (a pattern may be absolute)
        if not found:
            raise InputError(name, "no file fits this pattern")
        yield from map(Path, found)
    else:
        yield path


def _listed(path: Path) -> Iterator[Path | dict[str, Any]]:
    """The exposures in a list, relative to it or to the current folder; what follows a name in its line is left out."""
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(path, f"is no list of exposures ({first_line(error)})") from error
    words = [line.split("#")[0].split() for line in lines]
    names = [word[0] for word in words if word]
    if not names:
        raise InputError(path, "lists no exposure")
    for name in names:
        beside = path.parent / name
        yield from exposures_named(str(beside if exists(beside) else name))


def _association_of(path: Path) -> dict[str, Any]:
    """An HST association table as an association."""
    from astropy.io import fits

    try:
        with fits.open(path, memmap=False) as hdus:
            table = next(hdu.data for hdu in hdus if isinstance(hdu, fits.BinTableHDU))
            rows = [(str(row["MEMNAME"]).strip().lower(), str(row["MEMTYPE"]).strip()) for row in table]
    except Exception as error:  # astropy's own, and what a table lacks
        raise InputError(path, f"is no HST association table ({first_line(error)})") from error
    members = [
        {"expname": str(_calibrated(path, name)), "exptype": "science"}
        for name, kind in rows
        if kind.startswith(_EXPOSURE)
    ]
    products = [name for name, kind in rows if kind.startswith(_PRODUCT)]
    name = products[0] if products else path.name.lower().removesuffix("_asn.fits")
    return {"products": [{"name": name, "members": members}]}


def _calibrated(table: Path, name: str) -> Path:
    """The best file of an exposure beside its association table."""
    for kind in _CALIBRATED:
        for found in (table.with_name(f"{name}_{kind}.fits"), table.with_name(f"{name}_{kind}.fits.gz")):
            if exists(found):
                return Path(os.path.abspath(found))  # noqa: PTH100
    wanted = ", ".join(f"{name}_{kind}.fits" for kind in _CALIBRATED)
    raise AssociationError(table, f"none of {wanted} is beside it")
