"""Stars on the sky and exposures of them, with pointings that are wrong by a known amount."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from astropy.table import Table

from tweakreg.plane import MAS_PER_ARCSEC, Floats, TangentPlane
from tweakreg.simulate.instrument import Detector, Pointing, make_wcs


@dataclass(frozen=True, slots=True, kw_only=True)
class SceneConfig:
    """What is simulated. Angles in degrees, lengths on the sky in arcsec.

    Attributes
    ----------
    n_exposures, n_visits : int
        The exposures are dealt to the visits in turn.
    detectors : tuple of str
        See `tweakreg.simulate.instrument.Detector`.
    size : int
        Pixels per side of a detector.
    pixel_scale : float
    n_stars : float
        Mean number of stars per detector.
    fwhm : float
        Of the Gaussian point spread function before it is integrated over pixels, pixels.
    faintest, brightest : float
        Range of fluxes, electrons.
    slope : float
        Of the luminosity function: the number above flux f falls as ``f**-slope``.
    background, read_noise, saturation : float
        Electrons per pixel.
    bad_pixels : float
        Share of pixels that are flagged and hold nonsense.
    ra, dec, roll : float
        Of the field.
    dither : float
        Exposures lie within this share of the field's size.
    pattern : str
        'dither', 'chain' (each overlaps its neighbours only), or 'isolated' (the last one lies apart).
    visit_error, exposure_error : float
        Standard deviation of the pointing error per axis, of a visit and of an exposure in it.
    roll_error : float
        Standard deviation of the error of the roll of a visit.
    aberration : bool
        Whether the WCS have a v2v3vacorr frame.
    blank : tuple of int
        Exposures without stars.
    seed : int
    """

    n_exposures: int = 4
    n_visits: int = 1
    detectors: tuple[str, ...] = ("NRCA1",)
    size: int = 512
    pixel_scale: float = 0.031
    n_stars: float = 200.0
    fwhm: float = 2.0
    faintest: float = 1.5e3
    brightest: float = 2e5
    slope: float = 0.6
    background: float = 50.0
    read_noise: float = 5.0
    saturation: float = 6e4
    bad_pixels: float = 1e-3
    ra: float = 80.5
    dec: float = -69.5
    roll: float = 35.0
    dither: float = 0.1
    pattern: str = "dither"
    visit_error: float = 0.3
    exposure_error: float = 0.01
    roll_error: float = 0.003
    aberration: bool = False
    blank: tuple[int, ...] = ()
    seed: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class SimulatedExposure:
    """One detector's image.

    Attributes
    ----------
    filename : str
    detector : Detector
    number, visit : int
        Counted from 0.
    truth, wcs : gwcs.WCS
        Where it really looks, and what its file says.
    pointing : Pointing
        What its file says.
    """

    filename: str
    detector: Detector
    number: int
    visit: int
    truth: Any
    wcs: Any
    pointing: Pointing


@dataclass(frozen=True, slots=True, kw_only=True)
class Scene:
    """Stars and exposures.

    Attributes
    ----------
    config : SceneConfig
    ra, dec, flux : (N,) float arrays
        Stars: degrees, electrons.
    exposures : tuple of SimulatedExposure
    """

    config: SceneConfig
    ra: Floats
    dec: Floats
    flux: Floats
    exposures: tuple[SimulatedExposure, ...]

    @property
    def truth(self) -> dict[str, Any]:
        """True WCS by file name."""
        return {exposure.filename: exposure.truth for exposure in self.exposures}

    def reference_catalog(self, error: float = 0.2, share: float = 0.5, seed: int = 1) -> Table:
        """A catalog of the brightest stars with columns RA, DEC and mag.

        Parameters
        ----------
        error : float
            Standard deviation of the positions per axis, mas.
        share : float
            Share of the stars that are in it.
        seed : int
        """
        rng = np.random.default_rng((self.config.seed, seed))
        chosen = np.argsort(-self.flux)[: int(np.ceil(share * len(self.flux)))]
        plane = TangentPlane.around(self.ra[chosen], self.dec[chosen])
        noise = rng.normal(scale=error / MAS_PER_ARCSEC, size=(len(chosen), 2))
        ra, dec = plane.deproject(plane.project(self.ra[chosen], self.dec[chosen]) + noise)
        table = Table({"RA": ra, "DEC": dec, "mag": 25.0 - 2.5 * np.log10(self.flux[chosen])})
        table["RA"].unit = table["DEC"].unit = "deg"
        return table


def make_scene(config: SceneConfig | None = None, **changes: Any) -> Scene:
    """Simulate a scene.

    Parameters
    ----------
    config : SceneConfig, optional
    **changes
        Fields of `SceneConfig` to change.
    """
    config = replace(config or SceneConfig(), **changes)
    rng = np.random.default_rng(config.seed)
    detectors = [Detector(name=name, size=config.size, pixel_scale=config.pixel_scale) for name in config.detectors]
    centre = TangentPlane(ra=config.ra, dec=config.dec)
    exposures: list[SimulatedExposure] = []
    visit_shifts = rng.normal(scale=config.visit_error, size=(config.n_visits, 2))
    visit_rolls = rng.normal(scale=config.roll_error, size=config.n_visits)
    v2 = float(np.mean([detector.v2_ref for detector in detectors]))
    v3 = float(np.mean([detector.v3_ref for detector in detectors]))
    offsets = _offsets(config, rng)
    for number, offset in enumerate(offsets):
        visit = number % config.n_visits
        error = visit_shifts[visit] + rng.normal(scale=config.exposure_error, size=2)
        truth = _pointing(centre, offset, config.roll, v2, v3)
        said = _pointing(centre, offset + error, config.roll + visit_rolls[visit], v2, v3)
        for detector in detectors:
            factor = 1.0 + 5e-5 if config.aberration else None
            exposures.append(
                SimulatedExposure(
                    filename=f"jw09999001{visit + 1:03d}_02101_{number + 1:05d}_{detector.name.lower()}_cal.fits",
                    detector=detector,
                    number=number,
                    visit=visit,
                    truth=make_wcs(detector, truth, aberration=factor),
                    wcs=make_wcs(detector, said, aberration=factor),
                    pointing=said,
                )
            )
    ra, dec, flux = _stars(config, exposures, rng)
    return Scene(config=config, ra=ra, dec=dec, flux=flux, exposures=tuple(exposures))


def _pointing(centre: TangentPlane, offset: Floats, roll: float, v2: float, v3: float) -> Pointing:
    """The roll is kept on the field's plane: near a pole north turns with every step."""
    up = offset + [np.sin(np.radians(roll)), np.cos(np.radians(roll))]
    ra, dec = centre.deproject(offset)
    east, north = TangentPlane(ra=float(ra), dec=float(dec)).project(*centre.deproject(up))
    return Pointing(ra=float(ra), dec=float(dec), roll=float(np.degrees(np.arctan2(east, north))), v2=v2, v3=v3)


def _offsets(config: SceneConfig, rng: np.random.Generator) -> Floats:
    """Offsets of the exposures (n, 2), arcsec."""
    width = config.size * config.pixel_scale * (2.08 if len(config.detectors) > 1 else 1.0)
    offsets = rng.uniform(-0.5, 0.5, size=(config.n_exposures, 2)) * config.dither * width
    if config.pattern == "chain":
        offsets[:, 0] += 0.6 * width * np.arange(config.n_exposures)
    elif config.pattern == "isolated":
        offsets[-1] += 4.0 * width
    elif config.pattern != "dither":
        raise ValueError(f"pattern = {config.pattern!r}: must be 'dither', 'chain' or 'isolated'")
    return np.asarray(offsets)


def _stars(
    config: SceneConfig, exposures: list[SimulatedExposure], rng: np.random.Generator
) -> tuple[Floats, Floats, Floats]:
    """Stars all over the area of the exposures, and their fluxes."""
    edge = np.array([-0.5, config.size - 0.5])
    corners = [exposure.truth(*np.meshgrid(edge, edge), with_bounding_box=False) for exposure in exposures]
    plane = TangentPlane.around(
        np.concatenate([ra.ravel() for ra, _ in corners]), np.concatenate([dec.ravel() for _, dec in corners])
    )
    xy = np.concatenate([plane.project(ra.ravel(), dec.ravel()) for ra, dec in corners])
    low, high = xy.min(axis=0) - 1.0, xy.max(axis=0) + 1.0
    density = config.n_stars / (config.size * config.pixel_scale) ** 2
    n_stars = rng.poisson(density * np.prod(high - low))
    ra, dec = plane.deproject(rng.uniform(low, high, size=(n_stars, 2)))
    span = (config.faintest / config.brightest) ** config.slope
    flux = config.faintest * (1.0 - rng.uniform(size=n_stars) * (1.0 - span)) ** (-1.0 / config.slope)
    return ra, dec, flux
