"""Where the stars of a catalog are at another epoch, and how well that is known."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from tweakreg.plane import Bools, Floats, sky_positions, unit_vectors
from tweakreg.records import ReferenceCatalog

_MAS = np.radians(1.0 / 3.6e6)

#: L2 lies beyond the Earth by this share of its distance from the Sun: the cube root of a third of the mass ratio.
_L2 = 0.0100

#: Dispersion of proper motions, mas per year and axis, where too few stars of the catalog have one to tell.
_TYPICAL_MOTION = 10.0
_ENOUGH = 5


def observer_at(epoch: float) -> Floats:
    """Barycentric position of the Sun-Earth point L2 at an epoch, ICRS, au.

    Parameters
    ----------
    epoch : float
        Julian year.

    Returns
    -------
    (3,) float array
        A halo orbit around the point stays within 0.006 au of it: 0.6 % of a parallax.
    """
    from astropy.coordinates import get_body_barycentric
    from astropy.time import Time

    time = Time(epoch, format="jyear", scale="tdb")
    earth, sun = (get_body_barycentric(body, time, ephemeris="builtin").xyz.to_value("au") for body in ("earth", "sun"))
    return np.asarray(earth + _L2 * (earth - sun))


def at_epoch(catalog: ReferenceCatalog, epoch: float, observer: Floats) -> ReferenceCatalog:
    """Move a catalog to an epoch.

    Stars without proper motion move as the median of the others does, with an error that says how much the others
    differ from it.

    Parameters
    ----------
    catalog : ReferenceCatalog
        One without epoch is given back as it is.
    epoch : float
        Julian year.
    observer : (3,) float array
        Barycentric position, ICRS, au.

    Returns
    -------
    ReferenceCatalog
        Directions from the observer; no parallax is left in them to be applied again.

    Notes
    -----
    Uniform motion in space, without radial velocity: with p and q to the east and north at direction r,
    ``u = r + (mu_p p + mu_q q) dt - parallax * observer``, normalised (ESA 1997, SP-1200, volume 1, section
    1.2.8). The covariance of the position is ``J C J'`` with ``J = (1, -(p b, q b), dt)``. Astropy's
    `apply_space_motion` knows no observer, and gives stars without parallax a distance at which
    their motion would exceed the speed of light.
    """
    if catalog.epoch is None:
        return catalog
    east, north, direction = _triad(catalog.ra, catalog.dec)
    years = epoch - catalog.epoch
    still = _without_motion(catalog)
    motion = np.zeros((len(catalog), 2)) if catalog.motion is None else np.nan_to_num(catalog.motion)
    motion[still] = _common_motion(catalog)
    parallax = np.zeros(len(catalog)) if catalog.parallax is None else np.nan_to_num(catalog.parallax)
    moved = direction + _MAS * (motion[:, :1] * east + motion[:, 1:] * north) * years[:, None]
    moved = moved - _MAS * parallax[:, None] * observer
    ra, dec = sky_positions(moved)
    return replace(
        catalog,
        ra=ra,
        dec=dec,
        epoch=np.full(len(catalog), float(epoch)),
        parallax=None if catalog.parallax is None else np.full(len(catalog), np.nan),
        covariance=_propagated(catalog, years, east @ observer, north @ observer),
    )


def _triad(ra: Floats, dec: Floats) -> tuple[Floats, Floats, Floats]:
    """Unit vectors (M, 3) to the east, to the north and to the star."""
    lon = np.radians(ra)
    east = np.stack([-np.sin(lon), np.cos(lon), np.zeros_like(lon)], axis=-1)
    direction = unit_vectors(ra, dec)
    return east, np.cross(direction, east), direction


def _propagated(catalog: ReferenceCatalog, years: Floats, east: Floats, north: Floats) -> Floats | None:
    """Covariance (M, 5, 5) at the new epoch; the observer's place along east and north is in au."""
    if catalog.covariance is None and catalog.motion is None:
        return None
    number = len(catalog)
    covariance = np.zeros((number, 5, 5)) if catalog.covariance is None else np.nan_to_num(catalog.covariance)
    jacobian = np.broadcast_to(np.eye(5), (number, 5, 5)).copy()
    jacobian[:, 0, 2], jacobian[:, 1, 2] = -east, -north
    jacobian[:, 0, 3] = jacobian[:, 1, 4] = years
    result = jacobian @ covariance @ jacobian.transpose(0, 2, 1)
    still = _without_motion(catalog)
    if still.any():
        gap = (motion_dispersion(catalog, about=_common_motion(catalog)) * years[still]) ** 2
        result[still, 0, 0] += gap
        result[still, 1, 1] += gap
    return np.asarray(result) if catalog.covariance is not None or still.any() else None


def _without_motion(catalog: ReferenceCatalog) -> Bools:
    if catalog.motion is None:
        return np.ones(len(catalog), dtype=bool)
    return np.asarray(~np.isfinite(catalog.motion).all(axis=1))


def _common_motion(catalog: ReferenceCatalog) -> Floats:
    """Median proper motion to the east and north, mas per year; 0 where too few stars have one."""
    known = ~_without_motion(catalog)
    if catalog.motion is None or known.sum() < _ENOUGH:
        return np.zeros(2)
    return np.asarray(np.median(catalog.motion[known], axis=0))


def motion_dispersion(catalog: ReferenceCatalog, about: Floats | None = None) -> float:
    """Proper motion per axis, mas per year, about a common one (2,) or 0; robust against a few fast stars."""
    known = ~_without_motion(catalog)
    if catalog.motion is None or known.sum() < _ENOUGH:
        return _TYPICAL_MOTION
    lengths = np.hypot(*(catalog.motion[known] - (0.0 if about is None else about)).T)
    return float(np.median(lengths) / np.sqrt(2.0 * np.log(2.0)))
