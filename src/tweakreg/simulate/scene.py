"""Stars on the sky and exposures of them, with pointings that are wrong by a known amount."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from astropy.table import Table

from tweakreg.plane import MAS_PER_ARCSEC, Floats, TangentPlane
from tweakreg.simulate.instrument import Detector, Pointing, make_wcs

#: When exposures are taken, Julian year.
_EPOCH = 2025.0


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
        arcsec.
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
    visit_rolls : tuple of float
        Of each visit, instead of `roll`.
    skew : float
        Angle by which the detectors' axes are not perpendicular, of which the files do not know.
    visit_years : tuple of float
        When each visit was, years after 2025.0.
    motion : float
        Dispersion of the proper motions of the stars per axis, mas per year.
    common_motion : (float, float)
        Motion of all stars to the east and north, mas per year.
    filter : str
        Name of the filter in the headers.
    visit_group : str
        Two digits: exposures in other filters of the same visit have another one.
    dither : float
        Exposures lie within this share of the field's size.
    pattern : str
        'dither'; 'chain' (each overlaps its neighbours by 40 %); 'strip' (by 10 %); 'mosaic' (rows and columns of a
        square, by 25 %); or 'isolated' (the last one lies apart).
    visit_error, exposure_error : float
        Standard deviation of the pointing error per axis, of a visit and of an exposure in it.
    roll_error : float
        Standard deviation of the error of the roll of a visit.
    aberration : bool
        Whether the WCS have a v2v3vacorr frame.
    blank : tuple of int
        Exposures without stars.
    extra_errors : tuple of (exposure, east, north, roll)
        Further errors of the pointing of some exposures: arcsec, arcsec, degrees.
    misplaced : tuple of (exposure, detector, v2, v3)
        How far detectors are from where the files of some exposures say, arcsec.
    cosmic_rays : float
        Mean number per exposure of a detector, unflagged and different in each.
    hot_pixels : int
        Number per detector, unflagged, at the same places in all exposures.
    galaxies : float
        Mean number per detector; they are in no reference catalog.
    trail : (float, float)
        How far stars move over the detector during an exposure, pixels along x and y.
    wings : float
        Share of a star's light in wings that fall as ``r**-3``.
    seed : int
        Of the random numbers: the same seed gives the same scene.
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
    visit_rolls: tuple[float, ...] = ()
    skew: float = 0.0
    visit_years: tuple[float, ...] = ()
    motion: float = 0.0
    common_motion: tuple[float, float] = (0.0, 0.0)
    filter: str = "F200W"
    visit_group: str = "02"
    dither: float = 0.1
    pattern: str = "dither"
    visit_error: float = 0.3
    exposure_error: float = 0.01
    roll_error: float = 0.003
    aberration: bool = False
    blank: tuple[int, ...] = ()
    extra_errors: tuple[tuple[int, float, float, float], ...] = ()
    misplaced: tuple[tuple[int, str, float, float], ...] = ()
    cosmic_rays: float = 0.0
    hot_pixels: int = 0
    galaxies: float = 0.0
    trail: tuple[float, float] = (0.0, 0.0)
    wings: float = 0.0
    seed: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class SimulatedExposure:
    """One detector's image.

    Attributes
    ----------
    filename : str
        Of its file.
    detector : Detector
        With which it was taken.
    number, visit : int
        Counted from 0.
    epoch : float
        Julian year.
    truth, wcs : gwcs.WCS
        Where it really looks, and what its file says.
    pointing : Pointing
        What its file says.
    """

    filename: str
    detector: Detector
    number: int
    visit: int
    epoch: float
    truth: Any
    wcs: Any
    pointing: Pointing


@dataclass(frozen=True, slots=True, kw_only=True)
class Scene:
    """Stars and exposures.

    Attributes
    ----------
    config : SceneConfig
        How it was made.
    ra, dec, flux : (N,) float arrays
        Stars: degrees at 2025.0, electrons.
    motion : (N, 2) float array
        Proper motions to the east and north, mas per year.
    exposures : tuple of SimulatedExposure
        In the order in which they were taken.
    galaxies : (G, 5) float array
        ra, dec (degrees), flux (electrons), size (pixels), axis ratio.
    """

    config: SceneConfig
    ra: Floats
    dec: Floats
    flux: Floats
    motion: Floats
    exposures: tuple[SimulatedExposure, ...]
    galaxies: Floats

    @property
    def truth(self) -> dict[str, Any]:
        """True WCS by file name."""
        return {exposure.filename: exposure.truth for exposure in self.exposures}

    def at(self, epoch: float) -> tuple[Floats, Floats]:
        """Where the stars are, degrees: the field is small, so that east and north are those of its plane."""
        if not self.motion.any():
            return self.ra, self.dec
        plane = TangentPlane.around(self.ra, self.dec)
        moved = self.motion * (epoch - _EPOCH) / MAS_PER_ARCSEC
        return plane.deproject(plane.project(self.ra, self.dec) + moved)

    def gaia(self, *, epoch: float = 2016.0, still: float = 0.0, worst: float = 2.0, seed: int = 2) -> Table:
        """A catalog with the columns of Gaia's.

        Parameters
        ----------
        epoch : float
            Of the positions, Julian year.
        still : float
            Share of stars without proper motion.
        worst : float
            Error of the faintest stars, mas; of the brightest it is a hundredth.
        seed : int
            Of the random numbers.

        Returns
        -------
        Table
            The errors of the motions are as large as those of the positions, per year.
        """
        rng = np.random.default_rng((self.config.seed, seed))
        magnitude = 25.0 - 2.5 * np.log10(self.flux)
        faintness = (magnitude - magnitude.min()) / max(float(np.ptp(magnitude)), 1e-9)
        error = 0.01 * worst * 100.0**faintness
        noise = rng.normal(size=(2, len(error), 2)) * error[:, None]
        plane = TangentPlane.around(self.ra, self.dec)
        ra, dec = plane.deproject(plane.project(*self.at(epoch)) + noise[0] / MAS_PER_ARCSEC)
        motion = self.motion + noise[1]
        motion[rng.uniform(size=len(error)) < still] = np.nan
        table = Table({"ra": ra, "dec": dec, "ra_error": error, "dec_error": error, "pmra": motion[:, 0]})
        table["pmdec"], table["pmra_error"], table["pmdec_error"] = motion[:, 1], error, error
        table["ref_epoch"], table["phot_g_mean_mag"] = np.full(len(error), epoch), magnitude
        return table

    def reference_catalog(self, error: float = 0.2, share: float = 0.5, seed: int = 1) -> Table:
        """A catalog of the brightest stars with columns RA, DEC and mag.

        Parameters
        ----------
        error : float
            Standard deviation of the positions per axis, mas.
        share : float
            Share of the stars that are in it.
        seed : int
            Of the random numbers.
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
        What the scene is like; the default if it is not given.
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
        turn = visit_rolls[visit]
        for which, east, north, roll in config.extra_errors:
            if which == number:
                error, turn = error + [east, north], turn + roll
        visit_name = f"jw09999001{visit + 1:03d}_{config.visit_group}101"
        aim = config.visit_rolls[visit] if config.visit_rolls else config.roll
        truth = _pointing(centre, offset, aim, v2, v3)
        said = _pointing(centre, offset + error, aim + turn, v2, v3)
        for detector in detectors:
            factor = 1.0 + 5e-5 if config.aberration else None
            off = [(v2, v3) for which, name, v2, v3 in config.misplaced if (which, name) == (number, detector.name)]
            real = replace(detector, skew=config.skew, misplaced=off[0] if off else (0.0, 0.0))
            exposures.append(
                SimulatedExposure(
                    filename=f"{visit_name}_{number + 1:05d}_{detector.name.lower()}_cal.fits",
                    detector=detector,
                    number=number,
                    visit=visit,
                    epoch=_EPOCH + (config.visit_years[visit] if config.visit_years else 0.0),
                    truth=make_wcs(real, truth, aberration=factor),
                    wcs=make_wcs(detector, said, aberration=factor),
                    pointing=said,
                )
            )
    ra, dec, flux = _stars(config, exposures, rng)
    galaxies = _galaxies(config, ra, dec, rng)
    motion = rng.normal(scale=config.motion, size=(len(ra), 2)) + config.common_motion
    return Scene(config=config, ra=ra, dec=dec, flux=flux, motion=motion, exposures=tuple(exposures), galaxies=galaxies)


def random_config(seed: int) -> SceneConfig:
    """A field drawn at random from what people bring, for tests of robustness.

    Parameters
    ----------
    seed : int
        Of the random numbers.
    """
    rng = np.random.default_rng((seed, 99))
    n_exposures = int(rng.integers(2, 6))
    extra: tuple[tuple[int, float, float, float], ...] = ()
    if rng.uniform() < 0.3:
        which = int(rng.integers(n_exposures))
        extra = ((which, float(rng.normal(scale=2.0)), float(rng.normal(scale=2.0)), float(rng.normal(scale=0.05))),)
    return SceneConfig(
        n_exposures=n_exposures,
        n_visits=int(rng.integers(1, 3)),
        n_stars=float(10.0 ** rng.uniform(1.0, 2.7)),
        fwhm=float(rng.uniform(1.5, 3.0)),
        slope=float(rng.uniform(0.3, 1.0)),
        brightest=float(10.0 ** rng.uniform(5.0, 6.5)),
        background=float(10.0 ** rng.uniform(1.0, 2.5)),
        ra=float(rng.uniform(0.0, 360.0)),
        dec=float(np.degrees(np.arcsin(rng.uniform(-1.0, 1.0)))),
        roll=float(rng.uniform(0.0, 360.0)),
        pattern=str(rng.choice(["dither", "dither", "chain", "isolated"])),
        blank=(int(rng.integers(n_exposures)),) if rng.uniform() < 0.15 else (),
        extra_errors=extra,
        cosmic_rays=float(rng.choice([0.0, 30.0, 150.0])),
        galaxies=float(rng.choice([0.0, 20.0])),
        wings=float(rng.choice([0.0, 0.15])),
        seed=seed,
    )


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
    step = {"chain": 0.6, "strip": 0.9}.get(config.pattern)
    if step is not None:
        along = step * width * np.arange(config.n_exposures)
        angle = np.radians(config.roll)
        offsets += along[:, None] * [np.cos(angle), -np.sin(angle)]
    elif config.pattern == "mosaic":
        side = int(np.ceil(np.sqrt(config.n_exposures)))
        place = 0.75 * width * np.column_stack(np.divmod(np.arange(config.n_exposures), side))
        cos, sin = np.cos(np.radians(config.roll)), np.sin(np.radians(config.roll))
        offsets += place @ np.array([[cos, -sin], [sin, cos]])
    elif config.pattern == "isolated":
        offsets[-1] += 4.0 * width
    elif config.pattern != "dither":
        raise ValueError(f"pattern = {config.pattern!r}: must be 'dither', 'chain', 'strip', 'mosaic' or 'isolated'")
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


def _galaxies(config: SceneConfig, ra: Floats, dec: Floats, rng: np.random.Generator) -> Floats:
    """Galaxies over the area of the stars, (G, 5): ra, dec, flux, size, axis ratio."""
    if config.galaxies <= 0.0 or len(ra) == 0:
        return np.empty((0, 5))
    plane = TangentPlane.around(ra, dec)
    xy = plane.project(ra, dec)
    low, high = xy.min(axis=0), xy.max(axis=0)
    area = np.prod(high - low) / (config.size * config.pixel_scale) ** 2
    n_galaxies = rng.poisson(config.galaxies * area)
    positions = plane.deproject(rng.uniform(low, high, size=(n_galaxies, 2)))
    flux = config.faintest * 10.0 ** rng.uniform(0.5, 2.0, size=n_galaxies)
    return np.column_stack([*positions, flux, rng.uniform(2.0, 8.0, n_galaxies), rng.uniform(0.3, 1.0, n_galaxies)])
