"""The WCS in the header of a FITS image: read, corrected, kept under another letter, and brought back."""

from __future__ import annotations

import hashlib
import re
import string
from collections.abc import Sequence
from typing import Any

import numpy as np

from tweakreg.errors import WCSError, first_line
from tweakreg.plane import Floats, TangentPlane, separation
from tweakreg.process import silenced
from tweakreg.records import Affine
from tweakreg.wcs.footprint import Bounds

#: What makes a WCS, and what is said of it, in the order in which it is written; n and m are axes.
_KEYWORDS = (
    "WCSNAME", "WCSAXES", "CTYPE1", "CTYPE2", "CUNIT1", "CUNIT2", "CRPIX1", "CRPIX2", "CRVAL1", "CRVAL2",
    "CD1_1", "CD1_2", "CD2_1", "CD2_2", "LONPOLE", "LATPOLE", "RADESYS", "EQUINOX", "CRDER1", "CRDER2",
    "WCSTYPE", "RMS_RA", "RMS_DEC", "NMATCHES", "FITGEOM", "HDRNAME",
)  # fmt: skip
#: Of the primary WCS alone.
_OF_PRIMARY = ("ORIENTAT", "S_REGION")
#: Distortion, which all WCS of a header share.
_DISTORTION = re.compile(r"(A|B|AP|BP)_(\d+_\d+|ORDER)|(CPDIS|D2IMDIS)\d|(DP|D2IM)\d.*")
#: Letter O is the pipeline's.
_LETTERS = [letter for letter in string.ascii_uppercase if letter != "O"]
#: Points per side on which CRVAL and CD are fitted, and what may be left there, arcsec.
_GRID = 9
_LARGEST_MISFIT = 1e-5

Card = tuple[str, Any, str]


class FitsWcs:
    """A celestial WCS of a FITS header, distortion and all, to be used as a GWCS is.

    Parameters
    ----------
    header : astropy.io.fits.Header
        Of the image.
    hdus : astropy.io.fits.HDUList
        Has the lookup tables that the header names.

    Raises
    ------
    WCSError
        There is none of two axes on the sky.
    """

    bounding_box = None

    def __init__(self, header: Any, hdus: Any) -> None:
        from astropy.wcs import WCS

        try:
            with silenced():
                self._wcs = WCS(header, fobj=hdus)
        except Exception as error:  # wcslib's and astropy's own
            raise WCSError(f"its header has no WCS that can be read ({first_line(error)})") from error
        if self._wcs.naxis != 2 or not self._wcs.has_celestial:
            raise WCSError("its header has no WCS of two axes on the sky")

    def __call__(self, x: Floats, y: Floats, with_bounding_box: bool = False) -> tuple[Floats, Floats]:
        """Right ascension and declination of pixels, degrees."""
        ra, dec = self._wcs.all_pix2world(x, y, 0) if np.size(x) else (np.empty(0), np.empty(0))
        return np.asarray(ra), np.asarray(dec)

    def invert(self, ra: Floats, dec: Floats, with_bounding_box: bool = False) -> tuple[Floats, Floats]:
        """Pixels of sky positions in degrees."""
        try:
            with silenced(RuntimeWarning):
                x, y = self._wcs.all_world2pix(ra, dec, 0, tolerance=1e-6, quiet=True) if np.size(ra) else ([], [])
        except Exception:  # a WCS that wcslib cannot invert has no pixels for any position
            x, y = np.full((2, np.size(ra)), np.nan)
        return np.asarray(x, dtype=float), np.asarray(y, dtype=float)

    def corrected(self, correction: Affine, plane: TangentPlane, bounds: Bounds) -> tuple[Floats, Floats]:
        """CRVAL and CD of the corrected WCS.

        Parameters
        ----------
        correction : Affine
            On `plane`.
        plane : TangentPlane
            The plane on which it was found.
        bounds : Bounds
            Outer edges of the pixels.

        Raises
        ------
        WCSError
            No CRVAL and CD give the corrected positions.

        Notes
        -----
        CRVAL moves as a star there does. Intermediate coordinates about it are linear in those of before; their
        matrix is fitted on a grid over the image. Calabretta & Greisen (2002), A&A 395, 1077, sections 2 and 5.1.3.
        """
        before = self._wcs.wcs
        x, y = (grid.ravel() for grid in np.meshgrid(*(np.linspace(low, high, _GRID) for low, high in bounds)))
        sky = self(x, y)
        at = TangentPlane(ra=float(before.crval[0]), dec=float(before.crval[1]))

        def moved(ra: Floats, dec: Floats) -> tuple[Floats, Floats]:
            return plane.deproject(correction(plane.project(ra, dec)))

        ra, dec = moved(np.array([at.ra]), np.array([at.dec]))
        then = TangentPlane(ra=float(ra[0]), dec=float(dec[0]))
        turn, *_ = np.linalg.lstsq(at.project(*sky), then.project(*moved(*sky)), rcond=None)
        cd = turn.T @ self._wcs.pixel_scale_matrix
        with silenced():
            after = self._wcs.deepcopy()
        after.wcs.crval = [then.ra, then.dec]
        after.wcs.cd = cd
        after.wcs.set()
        (ra, dec), wanted = after.all_pix2world(x, y, 0), moved(*sky)
        misfit = separation(ra, dec, *wanted).max()
        if not misfit < _LARGEST_MISFIT:
            raise WCSError(f"no CRVAL and CD give what is wanted: {misfit:.2g} arcsec are left")
        self._wcs = after
        return np.array([then.ra, then.dec]), np.asarray(cd)


def read_cards(header: Any, letter: str = "") -> list[Card]:
    """What a header says of the WCS with a letter; the primary one has none."""
    names = _names(letter)
    return [(name, header[name + letter], header.comments[name + letter]) for name in names if name + letter in header]


def write_cards(header: Any, cards: Sequence[Card], letter: str = "") -> None:
    """Make these the WCS with a letter, and leave nothing of the one before."""
    names = _names(letter)
    given = {name for name, *_ in cards}
    for name in names:
        if name not in given:
            header.remove(name + letter, ignore_missing=True)
    for name, value, comment in cards:
        if name in names:
            header[name + letter] = (value, comment)


def _names(letter: str) -> tuple[str, ...]:
    """Keywords of a WCS; those of eight letters have no room for another."""
    return tuple(name for name in _KEYWORDS if len(name) < 8) if letter else (*_KEYWORDS, *_OF_PRIMARY)


def letters(header: Any) -> list[str]:
    """Of the alternate WCS that a header has."""
    return [letter for letter in string.ascii_uppercase if f"CRVAL1{letter}" in header]


def archive(header: Any) -> str:
    """Keep the primary WCS under the next free letter, unless it is there; gives the letter.

    Raises
    ------
    WCSError
        All letters are taken.
    """
    primary = {name: value for name, value, _ in read_cards(header)}
    for letter in letters(header):
        kept = {name: value for name, value, _ in read_cards(header, letter)}
        if all(kept.get(name) == primary.get(name) for name in ("WCSNAME", "CRVAL1", "CRVAL2", "CD1_1", "CD2_2")):
            return letter
    free = [letter for letter in _LETTERS if letter not in letters(header)]
    if not free:
        raise WCSError("all letters of alternate WCS are taken: delete one, so that the primary WCS can be kept")
    write_cards(header, read_cards(header), free[0])
    return free[0]


def header_identity(header: Any) -> str:
    """A short text that two headers share only if their primary WCS are the same; names do not count.

    Parameters
    ----------
    header : astropy.io.fits.Header
        Of an image.

    Returns
    -------
    str
        32 hexadecimal digits.
    """
    linear = [name for name in _KEYWORDS[2:16] if name in header]
    distorted = sorted(name for name in header if _DISTORTION.fullmatch(name))
    digest = hashlib.sha256()
    for name in (*linear, *distorted):
        value = header[name]
        # As many digits as a card has room for, so that it is the same before and after it is written.
        digest.update(f"{name}={value:.11e};".encode() if isinstance(value, float) else f"{name}={value!r};".encode())
    return digest.hexdigest()[:32]


def orientation(cd: Floats) -> float:
    """Position angle of the y axis, degrees: ORIENTAT."""
    return float(np.degrees(np.arctan2(cd[0, 1], cd[1, 1])))
