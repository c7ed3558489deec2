"""Parameters, grouped by what they are for. Their defaults stand in the spec alone."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np

from tweakreg.plane import Bools, Floats
from tweakreg.records.outcomes import Stage
from tweakreg.spec import DEFAULTS

#: What `kron_params` is where nobody says.
_KRON = (2.5, 1.4, 0.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class StageConfig:
    """Matching and fitting parameters of one stage, as in the step's spec.

    Those for errors of the reference are of the absolute stage: `weighted`, whether they are used, and
    `error_floor`, what is added to them in quadrature (mas; None for what the residuals say). `elsewhere` is a second
    offset to seek around where none is found at the expected one, which is `xoffset` and `yoffset`.
    """

    stage: Stage
    minobj: int
    searchrad: float
    use2dhist: bool
    separation: float
    tolerance: float
    xoffset: float
    yoffset: float
    fitgeometry: str
    nclip: int
    sigma: float
    clip_accum: bool
    max_false_prob: float
    max_rival: float
    max_worsening: float
    max_misfit: float
    max_misfit_sigma: float
    weighted: bool
    error_floor: float | None
    elsewhere: tuple[float, float] | None

    @classmethod
    def of(cls, stage: Stage, values: Mapping[str, Any] = DEFAULTS, **changes: Any) -> StageConfig:
        """The parameters of a stage: its own, and those that are common to both.

        Parameters
        ----------
        stage : Stage
            The relative one, or the absolute one, whose parameters begin with ``abs_``.
        values : mapping of str to object
            Values of the spec; its defaults if none are given.
        **changes : object
            Values of fields that differ from these.
        """
        absolute = stage is Stage.ABSOLUTE
        taken: dict[str, Any] = {"stage": stage, "elsewhere": None}
        for name in (each.name for each in fields(cls) if each.name not in ("stage", "elsewhere")):
            own = f"abs_{name}"
            taken[name] = values[own if absolute and own in values else name] if name in values else values[own]
        common = values["xoffset"], values["yoffset"]
        if absolute and any(common) and not (taken["xoffset"] or taken["yoffset"]):
            taken["elsewhere"] = common
        return cls(**taken | changes)

    @property
    def largest_correction(self) -> float:
        """No corner of an image may move by more than this, arcsec."""
        reach = self.searchrad if self.use2dhist else 0.0
        return 2.0 * (reach + self.tolerance) + float(np.hypot(self.xoffset, self.yoffset))


@dataclass(frozen=True, slots=True, kw_only=True)
class FindConfig:
    """Source finding parameters, as in the step's spec."""

    starfinder: str
    snr_threshold: float
    kernel_fwhm: float
    bkg_boxsize: int
    minsep_fwhm: float
    sigma_radius: float
    sharplo: float
    sharphi: float
    roundlo: float
    roundhi: float
    brightest: int | None
    peakmax: float | None
    npixels: int
    connectivity: int
    nlevels: int
    contrast: float
    multithresh_mode: str
    localbkg_width: int
    apermask_method: str
    kron_params: tuple[float, ...]
    deblend: bool

    @classmethod
    def of(cls, values: Mapping[str, Any] = DEFAULTS, **changes: Any) -> FindConfig:
        """The parameters of source finding.

        Parameters
        ----------
        values : mapping of str to object
            Values of the spec; its defaults if none are given.
        **changes : object
            Values of fields that differ from these.
        """
        taken = {each.name: values[each.name] for each in fields(cls)}
        taken["connectivity"] = int(taken["connectivity"])
        taken["kron_params"] = _KRON if taken["kron_params"] is None else tuple(taken["kron_params"])
        return cls(**taken | changes)


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
        Rows beyond are left out; None for no limit.
    brightest : int or None
        So many rows are kept; None for all.
    max_ruwe : float or None
        Stars with a larger one are left out; None for no limit.
    drop_duplicates : bool
        Whether stars that the catalog marks as duplicated are left out.
    """

    x: str
    y: str
    flux: str
    units: str
    origin: int
    magnitudes: bool
    min_flux: float | None
    max_flux: float | None
    brightest: int | None
    max_ruwe: float | None
    drop_duplicates: bool

    @classmethod
    def of_sources(cls, values: Mapping[str, Any] = DEFAULTS, **changes: Any) -> Selection:
        """What is used of the catalogs of exposures; `values` and `changes` as for `StageConfig.of`."""
        units = "pixels" if values["xyunits"] == "pixels" else "degrees"
        taken = _common(values, "") | {
            "x": values["xcol"].strip(),
            "y": values["ycol"].strip(),
            "brightest": values["nbright"],
        }
        return replace(cls(**taken, units=units, max_ruwe=None, drop_duplicates=False), **changes)

    @classmethod
    def of_reference(cls, values: Mapping[str, Any] = DEFAULTS, **changes: Any) -> Selection:
        """What is used of the reference catalog; `values` and `changes` as for `StageConfig.of`."""
        taken = _common(values, "r") | {
            "x": values["refxcol"].strip(),
            "y": values["refycol"].strip(),
            "brightest": values["refnbright"],
            "units": values["refxyunits"],
            "max_ruwe": values["abs_max_ruwe"],
            "drop_duplicates": values["abs_drop_duplicates"],
        }
        return replace(cls(**taken), **changes)

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

    def only_brightest(self) -> Selection:
        """The same with no limit but the number of rows."""
        return replace(self, min_flux=None, max_flux=None)

    def without_brightest(self) -> Selection:
        """The same with no limit to the number of rows."""
        return replace(self, brightest=None)


def _common(values: Mapping[str, Any], prefix: str) -> dict[str, Any]:
    """What both selections have, under names with and without an "r"."""
    return {
        "flux": values[f"{prefix}fluxcol"].strip(),
        "origin": int(values["pixel_origin"]),
        "magnitudes": values[f"{prefix}fluxunits"] == "mag",
        "min_flux": values[f"{prefix}minflux"],
        "max_flux": values[f"{prefix}maxflux"],
    }


@dataclass(frozen=True, slots=True, kw_only=True)
class SipConfig:
    """SIP approximation parameters, as in the step's spec."""

    approximate: bool
    max_pix_error: float
    degree: int | None
    max_inv_pix_error: float
    inv_degree: int | None
    npoints: int

    @classmethod
    def of(cls, values: Mapping[str, Any] = DEFAULTS, **changes: Any) -> SipConfig:
        """The parameters of the approximation; `values` and `changes` as for `StageConfig.of`."""
        own = {each.name: f"sip_{each.name}" for each in fields(cls)} | {"approximate": "sip_approx"}
        return cls(**{name: values[parameter] for name, parameter in own.items()} | changes)
