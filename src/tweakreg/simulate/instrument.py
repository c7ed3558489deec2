"""Detectors in the telescope's frame, and GWCS with the frame names of JWST."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import astropy.units as u
import gwcs
import numpy as np
from astropy.coordinates import ICRS
from astropy.modeling import models
from gwcs import coordinate_frames as frames
from gwcs.geometry import CartesianToSpherical, SphericalToCartesian

#: Columns and rows of the detectors of the two modules, seen from their centres.
_PLACES = {"1": (0.5, -0.5), "2": (0.5, 0.5), "3": (-0.5, -0.5), "4": (-0.5, 0.5)}
_MODULES = {"NRCA": (86.0, -494.0), "NRCB": (-86.0, -494.0)}
_DEGREE, _INVERSE_DEGREE = 3, 5


@dataclass(frozen=True, slots=True, kw_only=True)
class Detector:
    """A detector of the simulated camera.

    Attributes
    ----------
    name : str
        NRCA1 ... NRCA4, NRCB1 ... NRCB4.
    size : int
        Pixels per side.
    pixel_scale : float
        arcsec.
    distortion : float
        Displacement in the corners, as a share of the size.
    skew : float
        By how much the angle between the axes differs from 90 degrees, degrees.
    misplaced : (float, float)
        How far along V2 and V3 it is from where it should be, arcsec.
    """

    name: str
    size: int
    pixel_scale: float
    distortion: float = 2e-3
    skew: float = 0.0
    misplaced: tuple[float, float] = (0.0, 0.0)

    @property
    def v2_ref(self) -> float:
        """V2 of the centre, arcsec; neighbours are a gap of 8 % apart."""
        return _MODULES[self.name[:4]][0] + 1.08 * self.size * self.pixel_scale * _PLACES[self.name[4]][0]

    @property
    def v3_ref(self) -> float:
        """V3 of the centre, arcsec."""
        return _MODULES[self.name[:4]][1] + 1.08 * self.size * self.pixel_scale * _PLACES[self.name[4]][1]

    @property
    def v3yangle(self) -> float:
        """Angle from V3 to the y axis, degrees; a little different for each detector."""
        return -0.5 + 0.1 * int(self.name[4])

    @property
    def vparity(self) -> int:
        """-1: x runs against V2."""
        return -1


@dataclass(frozen=True, slots=True, kw_only=True)
class Pointing:
    """Where the telescope looks: the sky position and roll (degrees) of a point of its frame (arcsec)."""

    ra: float
    dec: float
    roll: float
    v2: float = _MODULES["NRCA"][0]
    v3: float = _MODULES["NRCA"][1]

    def to_sky(self) -> Any:
        """The model from V2, V3 (arcsec) to the sky (degrees)."""
        angles = [self.v2 / 3600.0, -self.v3 / 3600.0, self.roll, self.dec, -self.ra]
        scale = models.Scale(1.0 / 3600.0) & models.Scale(1.0 / 3600.0)
        rotation = models.RotationSequence3D(angles, "zyxyz")
        model = scale | SphericalToCartesian(wrap_lon_at=180) | rotation | CartesianToSpherical(wrap_lon_at=360)
        model.name = "v23tosky"
        return model

    def at(self, v2: float, v3: float) -> Pointing:
        """The same attitude, told for another point of the telescope's frame."""
        to_sky = self.to_sky()
        ra, dec = to_sky(v2, v3)
        ra_up, dec_up = to_sky(v2, v3 + 1.0)
        east = np.cos(np.radians(dec_up)) * np.sin(np.radians(ra_up - ra))
        north = np.sin(np.radians(dec_up)) * np.cos(np.radians(dec)) - np.cos(np.radians(dec_up)) * np.sin(
            np.radians(dec)
        ) * np.cos(np.radians(ra_up - ra))
        roll = np.degrees(np.arctan2(east, north))
        return Pointing(ra=float(ra), dec=float(dec), roll=float(roll), v2=v2, v3=v3)


def make_wcs(detector: Detector, pointing: Pointing, *, aberration: float | None = None) -> Any:
    """A GWCS with frames detector, v2v3, (v2v3vacorr) and world.

    Parameters
    ----------
    detector : Detector
        Its place in the telescope, and its distortion.
    pointing : Pointing
        Where the telescope points.
    aberration : float, optional
        Scale factor of the velocity aberration; adds the frame v2v3vacorr.
    """
    local = pointing.at(detector.v2_ref, detector.v3_ref)
    detector_frame = frames.Frame2D(name="detector", axes_order=(0, 1), unit=(u.pix, u.pix))
    v2v3 = frames.Frame2D(name="v2v3", axes_names=("v2", "v3"), unit=(u.arcsec, u.arcsec))
    world = frames.CelestialFrame(reference_frame=ICRS(), name="world")
    pipeline = [(detector_frame, _to_v2v3(detector)), (v2v3, local.to_sky()), (world, None)]
    if aberration is not None:
        vacorr = frames.Frame2D(name="v2v3vacorr", axes_names=("v2", "v3"), unit=(u.arcsec, u.arcsec))
        scale = _about_reference(detector, aberration)
        pipeline = [pipeline[0], (v2v3, scale), (vacorr, pipeline[1][1]), pipeline[2]]
    wcs = gwcs.WCS(pipeline)
    edge = detector.size - 0.5
    wcs.bounding_box = ((-0.5, edge), (-0.5, edge))
    wcs.array_shape = (detector.size, detector.size)
    wcs.pixel_shape = (detector.size, detector.size)
    return wcs


def _about_reference(detector: Detector, factor: float) -> Any:
    shifts = [(1.0 - factor) * centre for centre in (detector.v2_ref, detector.v3_ref)]
    axes = [models.Scale(factor) | models.Shift(shift) for shift in shifts]
    return axes[0] & axes[1]


def _to_v2v3(detector: Detector) -> Any:
    """Pixels (0-indexed) to V2, V3 in arcsec: a polynomial, then the linear part of the SIAF."""
    half = detector.size / 2.0
    forward = _distortion(detector)
    backward = _fitted_inverse(forward)
    angle, scale = np.radians(detector.v3yangle), detector.pixel_scale * half
    parity = detector.vparity
    matrix = scale * np.array([[parity * np.cos(angle), np.sin(angle)], [-parity * np.sin(angle), np.cos(angle)]])
    matrix = matrix @ [[1.0, np.sin(np.radians(detector.skew))], [0.0, np.cos(np.radians(detector.skew))]]
    centre = (detector.size - 1.0) / 2.0
    normalise = (models.Shift(-centre) & models.Shift(-centre)) | (models.Scale(1 / half) & models.Scale(1 / half))
    polynomial = models.Mapping((0, 1, 0, 1)) | forward[0] & forward[1]
    polynomial.inverse = models.Mapping((0, 1, 0, 1)) | backward[0] & backward[1]
    place = (detector.v2_ref + detector.misplaced[0], detector.v3_ref + detector.misplaced[1])
    linear = models.AffineTransformation2D(matrix, translation=place)
    return normalise | polynomial | linear


def _distortion(detector: Detector) -> tuple[Any, Any]:
    """Polynomials of normalised pixels, the same for a detector in every scene."""
    rng = np.random.default_rng(sum(map(ord, detector.name)))
    axes = []
    for linear in ("c1_0", "c0_1"):
        polynomial = models.Polynomial2D(_DEGREE)
        for name in polynomial.param_names:
            order = sum(int(part) for part in name[1:].split("_"))
            if order >= 2:
                setattr(polynomial, name, 2.0 * detector.distortion * rng.uniform(-0.5, 0.5))
        setattr(polynomial, linear, 1.0)
        axes.append(polynomial)
    return axes[0], axes[1]


def _fitted_inverse(forward: tuple[Any, Any]) -> list[Any]:
    """Polynomials that undo others, fitted on a grid that reaches beyond the detector."""
    grid = np.linspace(-1.05, 1.05, 40)
    x, y = (axis.ravel() for axis in np.meshgrid(grid, grid))
    u_, v_ = forward[0](x, y), forward[1](x, y)
    inverse = []
    for target in (x, y):
        polynomial = models.Polynomial2D(_INVERSE_DEGREE)
        powers = [tuple(int(part) for part in name[1:].split("_")) for name in polynomial.param_names]
        design = np.column_stack([u_**i * v_**j for i, j in powers])
        polynomial.parameters = np.linalg.lstsq(design, target, rcond=None)[0]
        inverse.append(polynomial)
    return inverse
