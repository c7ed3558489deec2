"""Parameters, grouped by what they are for."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from tweakreg.plane import Bools, Floats
from tweakreg.records.outcomes import Stage


@dataclass(frozen=True, slots=True, kw_only=True)
class StageConfig:
    """Matching and fitting parameters of one stage, as in the step's spec.

    Those for errors of the reference are of the absolute stage: `weighted`, whether they are used, and
    `error_floor`, what is added to them in quadrature (mas; None for what the residuals say).
    """

    stage: Stage
    minobj: int = 15
    searchrad: float = 2.0
    use2dhist: bool = True
    separation: float = 1.0
    tolerance: float = 0.7
    xoffset: float = 0.0
    yoffset: float = 0.0
    fitgeometry: str = "rshift"
    nclip: int = 3
    sigma: float = 3.0
    clip_accum: bool = False
    max_false_prob: float = 1e-3
    max_rival: float = 0.5
    max_worsening: float = 3.0
    weighted: bool = True
    error_floor: float | None = None

    @property
    def largest_correction(self) -> float:
        """No corner of an image may move by more than this, arcsec."""
        reach = self.searchrad if self.use2dhist else 0.0
        return 2.0 * (reach + self.tolerance) + float(np.hypot(self.xoffset, self.yoffset))


@dataclass(frozen=True, slots=True, kw_only=True)
class FindConfig:
    """Source finding parameters, as in the step's spec."""

    starfinder: str = "iraf"
    snr_threshold: float = 10.0
    kernel_fwhm: float = 2.5
    bkg_boxsize: int = 400
    minsep_fwhm: float = 0.0
    sigma_radius: float = 1.5
    sharplo: float = 0.5
    sharphi: float = 2.0
    roundlo: float = 0.0
    roundhi: float = 0.2
    brightest: int | None = 200
    peakmax: float | None = None
    npixels: int = 10
    connectivity: int = 8
    nlevels: int = 32
    contrast: float = 0.001
    multithresh_mode: str = "exponential"
    localbkg_width: int = 0
    apermask_method: str = "correct"
    kron_params: tuple[float, ...] = (2.5, 1.4, 0.0)
    deblend: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Selection:
    """Which columns and rows of a catalog are used.

    Attributes
    ----------
    x, y, flux : str
        Names of columns, or numbers counted from 1; empty for the usual names.
    units : str
        Of x and y: 'pixels', 'degrees', or 'hours' for a right ascension in hours.
    origin : int
        Pixel coordinate of the centre of the first pixel.
    magnitudes : bool
        Whether the flux is a magnitude: the brightest have the smallest.
    min_flux, max_flux : float or None
    brightest : int or None
    max_ruwe : float or None
    drop_duplicates : bool
    """

    x: str = ""
    y: str = ""
    flux: str = ""
    units: str = "degrees"
    origin: int = 0
    magnitudes: bool = False
    min_flux: float | None = None
    max_flux: float | None = None
    brightest: int | None = None
    max_ruwe: float | None = None
    drop_duplicates: bool = False

    @property
    def by_flux(self) -> bool:
        """Whether flux decides which rows are used."""
        return (self.min_flux, self.max_flux, self.brightest) != (None, None, None)

    def chosen(self, flux: Floats) -> Bools:
        """The rows (N,) within the limits of flux and among the brightest; all where flux does not decide.

        Parameters
        ----------
        flux : (N,) float array
            NaN where unknown; such rows are left out wherever flux decides.
        """
        if not self.by_flux:
            return np.ones(len(flux), dtype=bool)
        low = -np.inf if self.min_flux is None else self.min_flux
        high = np.inf if self.max_flux is None else self.max_flux
        keep = np.isfinite(flux) & (flux >= low) & (flux <= high)
        if self.brightest is not None and keep.sum() > self.brightest:
            rank = np.where(keep, flux if self.magnitudes else -flux, np.inf)
            keep = np.zeros(len(flux), dtype=bool)
            keep[np.argsort(rank, kind="stable")[: self.brightest]] = True
        return np.asarray(keep)


@dataclass(frozen=True, slots=True, kw_only=True)
class SipConfig:
    """SIP approximation parameters, as in the step's spec."""

    approximate: bool = True
    max_pix_error: float = 0.01
    degree: int | None = None
    max_inv_pix_error: float = 0.01
    inv_degree: int | None = None
    npoints: int = 12
