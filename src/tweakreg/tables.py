"""Tables that people bring: columns in any case, errors that name the file."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from astropy.table import Table

from tweakreg.errors import CatalogError, first_line, logger, printable
from tweakreg.plane import Bools, Floats
from tweakreg.tablefiles import DEC_NAMES as DEC_NAMES
from tweakreg.tablefiles import PIXEL_NAMES as PIXEL_NAMES
from tweakreg.tablefiles import RA_NAMES as RA_NAMES
from tweakreg.tablefiles import listed
from tweakreg.tablefiles import plain_column as plain_column
from tweakreg.tablefiles import read_parquet as read_parquet
from tweakreg.tablefiles import read_table as read_table
from tweakreg.tablefiles import write_parquet as write_parquet

log = logger(__name__)

#: Units, in lower case, that say hours of right ascension, and those that say nothing.
_HOURS = ("h", "hr", "hrs", "hour", "hours", "hourangle")
_NO_UNIT = ("", "none")
#: Columns of the tables of journals, in CDS's format.
_RA_PARTS = ("RAh", "RAm", "RAs")
_DEC_PARTS = ("DEd", "DEm", "DEs")
_SEXAGESIMAL = re.compile(r"\s*[+-]?\d+(\s*[:hd\u00b0]\s*|\s+)\d")
#: The forms of it that nearly all tables have: astropy reads others, in a hundred times the time.
_USUAL = re.compile(
    r"\s*([+-]?)(\d{1,3})(?:([: ])(\d\d?)\3(\d\d?(?:\.\d*)?)|([hd])(\d\d?)m(\d\d?(?:\.\d*)?)s)\s*", re.ASCII
)


def _known_unit(text: str, path: str | Path, column: str) -> Any:
    """A unit in capitals, as FITS tables of old have it."""
    from astropy import units as u

    try:
        return u.Unit(text.strip().lower().replace("degrees", "deg"))
    except ValueError as error:
        raise CatalogError(path, f"column '{column}' has the unit '{text}', which is not known") from error


def find_column(table: Table, path: str | Path, names: Sequence[str]) -> str | None:
    """The column with one of the names, in any case; the first of `names` wins.

    Raises
    ------
    CatalogError
        Several columns differ only in case.
    """
    for name in names:
        found = [column for column in table.colnames if column.lower() == name.lower()]
        if len(found) > 1:
            raise CatalogError(path, f"columns {listed(found)} differ only in case: keep one of them")
        if found:
            return str(found[0])
    return None


def chosen_column(table: Table, path: str | Path, chosen: str, parameter: str) -> str | None:
    """The column that a parameter names, in any case, or numbers, from 1; None if it is empty.

    Raises
    ------
    CatalogError
        There is no such column.
    """
    if not chosen:
        return None
    if chosen.isdecimal() and 1 <= int(chosen) <= len(table.colnames):
        return str(table.colnames[int(chosen) - 1])
    column = find_column(table, path, (chosen,))
    if column is None:
        raise CatalogError(path, f"has no column {parameter} = {chosen}; it has {listed(table.colnames)}")
    return column


def numbers(table: Table, path: str | Path, column: str, unit: Any = None) -> Floats:
    """A column as float64, NaN where masked, in a unit; without `unit` angles become degrees.

    Raises
    ------
    CatalogError
        The column does not hold one number per row, or its unit is of another kind.
    """
    from astropy import units as u

    values = table[column]
    own = getattr(values, "unit", None)
    plain = _plain(values)
    result = np.full(plain.shape, np.nan)
    given = ~np.ma.getmaskarray(plain)
    try:
        result[given] = np.asarray(plain[given]).astype(float)
    except (TypeError, ValueError) as error:
        raise CatalogError(path, f"column '{column}' does not hold numbers: {first_line(error)[:100]}") from error
    if result.ndim != 1:
        raise CatalogError(path, f"column '{column}' does not hold one number per row")
    if isinstance(own, u.UnrecognizedUnit):
        own = _known_unit(str(own), path, column) if unit is not None else None
    if own is None:
        return np.asarray(result)
    if unit is None and u.Unit(own).physical_type == "angle":
        unit = u.deg
    try:
        return np.asarray(result if unit is None else u.Quantity(result, own).to_value(unit))
    except u.UnitsError as error:
        raise CatalogError(path, f"column '{column}' is in {own}, which is no {unit}") from error


def _plain(values: Any) -> Any:
    """Values without unit, as a masked array, however astropy masks them."""
    values = getattr(values, "value", values)
    if hasattr(values, "unmasked"):
        return np.ma.array(values.unmasked, mask=values.mask)
    return np.ma.asarray(values)


def sky_positions(
    table: Table, path: str | Path, chosen: tuple[str, str], parameters: tuple[str, str], hours: bool = False
) -> tuple[Floats, Floats]:
    """ICRS right ascension and declination in degrees, NaN where masked, of a table in any form that people use.

    Parameters
    ----------
    table : Table
        With two columns of numbers or sexagesimal text, or one of sky coordinates.
    path : str or Path
        Where it came from, for messages.
    chosen : tuple of str
        Names or numbers of the columns, empty for the usual names; the first may be one of sky coordinates.
    parameters : tuple of str
        The parameters that choose them.
    hours : bool
        Whether numbers without unit are hours of right ascension.

    Raises
    ------
    CatalogError
        There are no such columns, or they hold something else; the message says what would make the table work.
    """
    ra, dec = (chosen_column(table, path, *each) for each in zip(chosen, parameters, strict=True))
    if ra is not None and hasattr(table[ra], "icrs"):
        return _icrs(table, path, ra)
    ra = ra or find_column(table, path, RA_NAMES)
    dec = dec or find_column(table, path, DEC_NAMES)
    if ra is None and dec is None and (parts := _parts(table, path)) is not None:
        return parts
    if ra is None and dec is None:
        skies = [name for name in table.colnames if hasattr(table[name], "icrs")]
        sky = find_column(table, path, ("sky_centroid",)) or (skies[0] if len(skies) == 1 else None)
        if sky is not None:
            return _icrs(table, path, sky)
        if skies:
            raise CatalogError(path, f"has sky coordinates in {listed(skies)}: set {parameters[0]} to one of them")
        # A table with sky coordinates that was written as CSV.
        stems = [name[:-3] for name in table.colnames if name.endswith(".ra") and f"{name[:-3]}.dec" in table.colnames]
        if len(stems) == 1:
            ra, dec = f"{stems[0]}.ra", f"{stems[0]}.dec"
    if ra is None or dec is None:
        raise CatalogError(path, f"needs columns RA and DEC, or sky_centroid; it {remedy(table, parameters)}")
    return _right_ascension(table, path, ra, parameters[0], hours), _angles(table, path, dec)


def _parts(table: Table, path: str | Path) -> tuple[Floats, Floats] | None:
    """Degrees of columns RAh, RAm, RAs, DE-, DEd, DEm and DEs, as the tables of journals have them; None without them.

    The sign has a column of its own, as that of -00 is none of a number.
    """
    names = {name: find_column(table, path, (name,)) for name in (*_RA_PARTS, *_DEC_PARTS, "DE-")}
    if not all(names[name] for name in ("RAh", "RAm", "DEd", "DEm", "DE-")):
        return None
    values = {}
    for parts, most in ((_RA_PARTS, 24.0), (_DEC_PARTS, 90.0)):
        for name, limit in zip(parts, (most, 60.0, 60.0), strict=True):
            column = names[name]
            values[name] = np.zeros(len(table)) if column is None else _bare(table, path, column)
            if (values[name] < 0.0).any() or (values[name] > limit).any():
                raise CatalogError(path, f"column '{column}' goes beyond 0 to {limit:.0f}: mend these rows")
    signs = np.char.strip(np.ma.filled(_plain(table[names["DE-"]]).astype(str), ""))
    if not np.isin(signs, ("", "+", "-")).all():
        raise CatalogError(path, f"column '{names['DE-']}' has other signs than + and -: mend these rows")
    ra, dec = (values[h] + values[m] / 60.0 + values[s] / 3600.0 for h, m, s in (_RA_PARTS, _DEC_PARTS))
    return 15.0 * ra, np.where(signs == "-", -dec, dec)


def _icrs(table: Table, path: str | Path, column: str) -> tuple[Floats, Floats]:
    try:
        icrs = table[column].icrs
    except Exception as error:  # frames raise what they like
        raise CatalogError(path, f"column '{column}' does not hold sky coordinates ({first_line(error)})") from error
    ra, dec = (np.ma.filled(_plain(each.deg).astype(float), np.nan) for each in (icrs.ra, icrs.dec))
    return np.atleast_1d(ra), np.atleast_1d(dec)


def _right_ascension(table: Table, path: str | Path, column: str, parameter: str, hours: bool) -> Floats:
    """Degrees; a column that says what it is in is not multiplied again."""
    unit = _unit_text(table, column)
    if _is_sexagesimal(table[column]):
        ra = _angles(table, path, column, "hourangle")
        if (np.abs(ra) > 360.0).any():
            raise CatalogError(
                path, f"column '{column}' is sexagesimal, hours, but goes beyond 24: write degrees with decimals"
            )
        return ra
    if unit not in _NO_UNIT and hours and unit not in _HOURS:
        log.warning("%s: column '%s' is in %s, and is not taken as hours", path, column, printable(unit))
    if unit not in _HOURS and (unit not in _NO_UNIT or not hours):
        return _angles(table, path, column)
    ra = 15.0 * _bare(table, path, column)
    if (np.abs(ra) > 360.0).any():
        raise CatalogError(path, f"column '{column}' goes beyond 24 hours: is it in degrees, or {parameter} wrong?")
    return ra


def _unit_text(table: Table, column: str) -> str:
    return str(getattr(table[column], "unit", None) or "").strip().lower()


def _bare(table: Table, path: str | Path, column: str) -> Floats:
    """The numbers of a column as they stand."""
    return numbers(Table({column: _plain(table[column])}), path, column)


def _is_sexagesimal(values: Any) -> bool:
    """Whether a column holds text like 05:22:01.5, 05 22 01.5 or 5h22m1.5s."""
    if getattr(values, "dtype", np.dtype(float)).kind not in "USO":
        return False
    return any(_SEXAGESIMAL.match(str(value)) for value in np.ma.compressed(_plain(values))[:100])


def _angles(table: Table, path: str | Path, column: str, unit: str = "deg") -> Floats:
    """Degrees; sexagesimal text is in `unit` where it does not say."""
    from astropy import units as u
    from astropy.coordinates import Angle

    if not _is_sexagesimal(table[column]):
        unit = _unit_text(table, column)
        return _bare(table, path, column) if unit in _NO_UNIT else numbers(table, path, column, u.deg)
    text = np.ma.filled(_plain(table[column]).astype(str), "")
    result, left = _usual_angles(text, unit)
    given = left & (np.char.strip(text) != "")
    try:
        if given.any():
            result[given] = Angle(text[given], unit=unit).deg
    except ValueError as error:
        reason = f"{first_line(error)[:100]}: mend these rows, or write degrees with decimals"
        raise CatalogError(path, f"column '{column}' is sexagesimal text that is no {unit}: {reason}") from error
    return result


def _usual_angles(text: Any, unit: str) -> tuple[Floats, Bools]:
    """Degrees of sexagesimal text in one of its usual forms, and where it is none of them."""
    result, left = np.full(len(text), np.nan), np.ones(len(text), dtype=bool)
    found = [_USUAL.fullmatch(each) for each in text.tolist()]
    rows = [row for row, each in enumerate(found) if each is not None]
    if not rows:
        return result, left
    groups = np.array([each.groups(default="") for each in found if each is not None])
    sign, whole, _, minutes, seconds, letter, *others = groups.T
    # One of the two ways to write them is empty.
    whole, minutes, seconds = (
        each.astype(float) for each in (whole, np.char.add(minutes, others[0]), np.char.add(seconds, others[1]))
    )
    hours = (letter == "h") | ((letter == "") & (unit == "hourangle"))
    value = np.where(hours, 15.0, 1.0) * (whole + minutes / 60.0 + seconds / 3600.0)
    good = (minutes < 60.0) & (seconds < 60.0) & ~(hours & (whole >= 24.0))
    result[np.array(rows)[good]] = np.where(sign == "-", -value, value)[good]
    left[np.array(rows)[good]] = False
    return result, left


def remedy(table: Table, parameters: tuple[str, str], like: tuple[str, str] = ("ra|alpha", "de")) -> str:
    """What a table has, and which parameters would make it work.

    Parameters
    ----------
    table : Table
        That has no column of a usual name.
    parameters : tuple of str
        The parameters that name its two columns.
    like : tuple of str
        How columns that may be meant begin, as regular expressions.
    """
    names = table.colnames
    first, second = parameters
    if all(re.fullmatch(r"col\d+", name) for name in names):
        few = f"has {len(names)} columns without names"
        return f"{few}: set {first} and {second} to their numbers, such as {first} = 1, {second} = 2"
    likely = [next((name for name in names if re.match(each, name, re.IGNORECASE)), "") for each in like]
    such = f", perhaps {first} = {likely[0]}, {second} = {likely[1]}" if all(likely) else ""
    return f"has {listed(names)}: set {first} and {second}{such}"


def first_of_each(x: Floats, y: Floats) -> Bools:
    """Rows (N,) but for those that repeat the position of an earlier one, as catalogs joined from pieces have them."""
    # Rounded for what the way through other units leaves: less than a microarcsecond.
    _, first = np.unique(np.round(x, 10) + 1j * np.round(y, 10), return_index=True)
    keep = np.zeros(len(x), dtype=bool)
    keep[first] = True
    return keep
