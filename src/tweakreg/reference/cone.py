"""A part of the sky."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from astropy.table import Table

from tweakreg.errors import ServiceError
from tweakreg.plane import separation

#: So far beyond a cone its stars may be, arcsec: services round what they are asked for.
_ROUNDING = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Cone:
    """A part of the sky.

    Attributes
    ----------
    ra, dec : float
        Centre, ICRS degrees.
    radius : float
        Degrees.
    """

    ra: float
    dec: float
    radius: float

    def __str__(self) -> str:
        return f"within {self.radius:.4f} degrees of ({self.ra:.6f}, {self.dec:.6f})"

    @property
    def is_sound(self) -> bool:
        """Whether there is such a part of the sky."""
        return bool(np.isfinite(self.ra)) and abs(self.dec) <= 90.0 and 0.0 < self.radius <= 180.0

    def contains(self, other: Cone) -> bool:
        """Whether it covers another cone."""
        apart = float(separation(self.ra, self.dec, other.ra, other.dec)) / 3600.0
        return apart + other.radius <= self.radius * (1.0 + 1e-9)

    def stars_of(self, table: Table) -> Table:
        """The rows of an answer that lie in the cone; those beyond are no answer to the question.

        Parameters
        ----------
        table : Table
            With columns ra and dec, degrees.

        Raises
        ------
        ServiceError
            Most of it is elsewhere, or it has no such columns.
        """
        try:
            ra, dec = (np.asarray(table[axis], dtype=float) for axis in ("ra", "dec"))
        except (KeyError, TypeError, ValueError) as error:
            raise ServiceError("the answer has no numbers in columns ra and dec") from error
        known = (np.abs(ra) <= 360.0) & (np.abs(dec) <= 90.0)
        apart = np.full(len(table), np.inf)
        apart[known] = separation(self.ra, self.dec, ra[known], dec[known])
        inside = apart <= 3600.0 * self.radius + _ROUNDING
        if 2 * inside.sum() < len(table):
            raise ServiceError(f"{(~inside).sum()} of {len(table)} stars in the answer are not {self}, as was asked")
        return table if inside.all() else table[inside]
