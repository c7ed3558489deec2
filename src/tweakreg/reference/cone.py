"""A part of the sky."""

from __future__ import annotations

from dataclasses import dataclass

from tweakreg.plane import separation


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

    def contains(self, other: Cone) -> bool:
        """Whether it covers another cone."""
        apart = float(separation(self.ra, self.dec, other.ra, other.dec)) / 3600.0
        return apart + other.radius <= self.radius * (1.0 + 1e-9)
