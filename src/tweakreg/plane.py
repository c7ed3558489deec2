"""The common tangent plane on which everything is matched and fitted."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]
Ints = NDArray[np.intp]

ARCSEC_PER_RADIAN = np.degrees(1.0) * 3600.0
MAS_PER_ARCSEC = 1000.0


def unit_vectors(ra: ArrayLike, dec: ArrayLike) -> Floats:
    """Unit vectors (..., 3) of sky positions in degrees."""
    lon, lat = np.radians(ra), np.radians(dec)
    return np.stack([np.cos(lat) * np.cos(lon), np.cos(lat) * np.sin(lon), np.sin(lat)], axis=-1)


def sky_positions(vectors: Floats) -> tuple[Floats, Floats]:
    """Right ascension in [0, 360) and declination in degrees of vectors (..., 3)."""
    x, y, z = np.moveaxis(np.asarray(vectors, dtype=float), -1, 0)
    return np.degrees(np.arctan2(y, x)) % 360.0, np.degrees(np.arctan2(z, np.hypot(x, y)))


@dataclass(frozen=True, slots=True, kw_only=True)
class TangentPlane:
    """Gnomonic projection, north up: x points east, y north, in arcsec.

    Calabretta & Greisen (2002), A&A 395, 1077, section 5.1.3. With x east, the
    plane is seen from inside the sphere, as FITS intermediate world coordinates are.

    Attributes
    ----------
    ra, dec : float
        ICRS position of the origin, degrees.
    """

    ra: float
    dec: float

    @classmethod
    def around(cls, ra: ArrayLike, dec: ArrayLike) -> TangentPlane:
        """The plane that touches the sphere at the mean unit vector of positions in degrees."""
        mean = unit_vectors(np.ravel(ra), np.ravel(dec)).mean(axis=0)
        ra0, dec0 = sky_positions(mean)
        return cls(ra=float(ra0), dec=float(dec0))

    @property
    def _axes(self) -> Floats:
        """Rows: unit vectors to the east, to the north and to the origin."""
        lon, lat = np.radians(self.ra), np.radians(self.dec)
        east = [-np.sin(lon), np.cos(lon), 0.0]
        north = [-np.sin(lat) * np.cos(lon), -np.sin(lat) * np.sin(lon), np.cos(lat)]
        return np.array([east, north, unit_vectors(self.ra, self.dec)])

    def project(self, ra: ArrayLike, dec: ArrayLike) -> Floats:
        """Plane coordinates (N, 2), arcsec; NaN for positions on the far hemisphere."""
        east, north, depth = np.moveaxis(unit_vectors(ra, dec) @ self._axes.T, -1, 0)
        depth = np.where(depth > 0.0, depth, np.nan)
        return np.asarray(ARCSEC_PER_RADIAN * np.stack([east / depth, north / depth], axis=-1))

    def deproject(self, xy: ArrayLike) -> tuple[Floats, Floats]:
        """Right ascension and declination in degrees of plane coordinates (N, 2), arcsec."""
        plane = np.asarray(xy, dtype=float) / ARCSEC_PER_RADIAN
        ones = np.ones((*plane.shape[:-1], 1))
        return sky_positions(np.concatenate([plane, ones], axis=-1) @ self._axes)


def angle(first: Floats, second: Floats) -> Floats:
    """Angle between unit vectors (..., 3), radians; accurate also where it is tiny."""
    chord = np.linalg.norm(first - second, axis=-1)
    return np.asarray(2.0 * np.arcsin(np.clip(chord / 2.0, 0.0, 1.0)))


def separation(ra1: ArrayLike, dec1: ArrayLike, ra2: ArrayLike, dec2: ArrayLike) -> Floats:
    """Angle between sky positions in degrees, in arcsec; accurate down to micro-arcsec."""
    return np.asarray(angle(unit_vectors(ra1, dec1), unit_vectors(ra2, dec2)) * ARCSEC_PER_RADIAN)
