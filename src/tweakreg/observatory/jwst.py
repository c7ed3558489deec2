"""JWST datamodels: what is read of them, and what is written back."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from tweakreg.errors import InputError, WCSError
from tweakreg.plane import Bools, Floats, TangentPlane
from tweakreg.records import (
    Affine,
    Picture,
    Pixels,
    PlacedCatalog,
    PlaneImage,
    SipConfig,
    SourceCatalog,
    Sources,
    Status,
)
from tweakreg.schema import violation
from tweakreg.wcs.corrector import TelescopeAngles, check_wcs, correct, uncorrected
from tweakreg.wcs.footprint import Bounds, pixel_bounds, pixel_scale, s_region, sky, vertices
from tweakreg.wcs.sip import approximate, is_sip_keyword

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class ExposureImage:
    """What is kept of an exposure while its datamodel is put away.

    Attributes
    ----------
    name : str
        File name without folder and ending.
    group : str
    detector : str
    x, y : (N,) float arrays
        Sources, pixels.
    ra, dec : (N,) float arrays
        The same on the sky, degrees.
    flux : (N,) float array
        NaN where a custom catalog has none.
    weight : (N,) float array or None
    footprint : (ra, dec)
        Vertices along the edges, degrees.
    pixel_scale : float
        arcsec.
    epoch : float
        Decimal year; NaN if the exposure does not say.
    problem : str
        Why its WCS cannot be corrected; empty if it can.
    catalog_name : str or None
        New value of ``meta.tweakreg_catalog``: empty to clear it, None to leave it.
    corrected : bool
        Whether its WCS had a tangent-plane correction already.
    picture : Picture or None
        Of its pixels, where plots are asked for.
    observer : (3,) float array or None
        Barycentric position of the telescope, ICRS, au, if the exposure says.
    """

    name: str
    group: str
    detector: str
    x: Floats
    y: Floats
    ra: Floats
    dec: Floats
    flux: Floats
    weight: Floats | None
    footprint: tuple[Floats, Floats]
    pixel_scale: float
    epoch: float
    problem: str
    catalog_name: str | None = None
    corrected: bool = False
    picture: Picture | None = None
    observer: Floats | None = None

    @property
    def placed(self) -> PlacedCatalog:
        """Its sources on the detector and on the sky."""
        return PlacedCatalog(
            detector=self.detector, x=self.x, y=self.y, ra=self.ra, dec=self.dec, pixel_scale=self.pixel_scale
        )

    def without(self, left_out: Bools) -> ExposureImage:
        """The exposure without some of its sources."""
        keep = ~left_out
        kept = {name: getattr(self, name)[keep] for name in ("x", "y", "ra", "dec", "flux")}
        return replace(self, **kept, weight=None if self.weight is None else self.weight[keep])


def check_model(model: Any, path: object) -> None:
    """Refuse what is no calibrated image.

    Raises
    ------
    InputError
        The datamodel has no two-dimensional image or no WCS.
    """
    shape = getattr(getattr(model, "data", None), "shape", ())
    if len(shape) != 2:
        raise InputError(path, "holds no two-dimensional science image; tweakreg aligns calibrated images (_cal, _crf)")
    if getattr(model.meta, "wcs", None) is None:
        raise InputError(path, "holds no GWCS: it is no calibrated JWST image, or assign_wcs was not run on it")
    if model.meta.wcs.forward_transform.n_outputs != 2:
        raise InputError(path, "its WCS is not that of an image: tweakreg aligns images, not spectra")


def read_pixels(model: Any, *, errors: bool = False) -> Pixels:
    """Pixels of an exposure, and their errors where they are needed; DO_NOT_USE and NON_SCIENCE ones are masked."""
    from stdatamodels.jwst.datamodels import dqflags

    data = np.asarray(model.data)
    mask = np.zeros(data.shape, dtype=bool)
    if model.dq is not None and model.dq.shape == data.shape:
        unusable = dqflags.pixel["DO_NOT_USE"] | dqflags.pixel["NON_SCIENCE"]
        mask = (np.asarray(model.dq) & unusable) != 0
    error = None
    if errors and model.err is not None and model.err.shape == data.shape:
        error = np.asarray(model.err)
    return Pixels(data=data, error=error, mask=mask, bounds=bounds(model))


def bounds(model: Any) -> Bounds:
    """Outer edges of the pixels for which the WCS of an exposure is valid."""
    return pixel_bounds(model.meta.wcs, model.data.shape)


def read_exposure(
    model: Any, catalog: SourceCatalog, name: str, group: str, catalog_name: str | None = None
) -> ExposureImage:
    """What the alignment needs of an exposure and its sources."""
    wcs = model.meta.wcs
    edges = bounds(model)
    problem = ""
    try:
        check_wcs(wcs)
        telescope_angles(model)
    except WCSError as error:
        problem = str(error)
    ra, dec = sky(wcs, catalog.x, catalog.y) if len(catalog) else (np.empty(0), np.empty(0))
    return ExposureImage(
        name=name,
        group=group,
        detector=str(model.meta.instrument.detector),
        x=catalog.x,
        y=catalog.y,
        ra=ra,
        dec=dec,
        flux=catalog.flux,
        weight=catalog.weight,
        footprint=vertices(wcs, edges, n_per_side=4),
        pixel_scale=pixel_scale(wcs, edges),
        epoch=_epoch(model),
        problem=problem,
        catalog_name=catalog_name,
        observer=_observer(model),
    )


def _observer(model: Any) -> Floats | None:
    """Barycentric position, au; the ephemeris gives it in km."""
    from astropy.constants import au

    places = [getattr(model.meta.ephemeris, f"spatial_{axis}_bary", None) for axis in "xyz"]
    if any(place is None or not np.isfinite(place) for place in places):
        return None
    return np.asarray(np.asarray(places, dtype=float) / au.to_value("km"))


def _epoch(model: Any) -> float:
    """Middle of the exposure as decimal year, NaN if neither it nor the date is known."""
    from astropy.time import Time

    mjd = model.meta.exposure.mid_time or model.meta.exposure.start_time
    if mjd:
        return float(Time(mjd, format="mjd").jyear)
    date = model.meta.observation.date
    return float(Time(str(date)).jyear) if date else float("nan")


def common_plane(exposures: list[ExposureImage]) -> TangentPlane:
    """The plane around the mean unit vector of the footprints."""
    ra = np.concatenate([exposure.footprint[0] for exposure in exposures])
    dec = np.concatenate([exposure.footprint[1] for exposure in exposures])
    return TangentPlane.around(ra, dec)


def to_image(exposure: ExposureImage, plane: TangentPlane) -> PlaneImage:
    """The exposure as the alignment sees it."""
    return PlaneImage(
        name=exposure.name,
        group=exposure.group,
        footprint=plane.project(*exposure.footprint),
        pixel_scale=exposure.pixel_scale,
        sources=Sources(xy=plane.project(exposure.ra, exposure.dec), weight=exposure.weight, name=exposure.name),
    )


def telescope_angles(model: Any) -> TelescopeAngles:
    """Reference angles of an exposure's detector.

    Raises
    ------
    WCSError
        The metadata lack one of them.
    """
    info = model.meta.wcsinfo
    values = {name: getattr(info, name) for name in ("v2_ref", "v3_ref", "roll_ref")}
    missing = [name for name, value in values.items() if value is None]
    if missing:
        raise WCSError(f"meta.wcsinfo lacks {', '.join(missing)}")
    return TelescopeAngles(**{name: float(value) for name, value in values.items()})


def apply_correction(model: Any, correction: Affine, plane: TangentPlane, wcs_name: str | None) -> None:
    """Correct the WCS of an exposure and all that describes it.

    Parameters
    ----------
    model : datamodel
        Changed in place.
    correction : Affine
        On `plane`; the identity leaves the WCS as it is.
    plane : TangentPlane
    wcs_name : str or None
        New name of the WCS; None keeps the old one.
    """
    if not correction.is_identity:
        model.meta.wcs = correct(model.meta.wcs, telescope_angles(model), correction, plane, bounds(model))
    if wcs_name is not None:
        model.meta.wcs.name = wcs_name
    update_s_region(model)


def update_s_region(model: Any) -> None:
    """Make S_REGION that of the WCS."""
    try:
        model.meta.wcsinfo.s_region = s_region(model.meta.wcs, bounds(model))
    except ValueError as error:
        log.warning("%s: S_REGION is not updated: %s", model.meta.filename, error)


def update_sip(model: Any, config: SipConfig) -> str:
    """Write the SIP approximation of the WCS to ``meta.wcsinfo``.

    Returns
    -------
    str
        Why the accuracy that was asked for is not reached; empty if it is. Where no
        approximation could be made, the old one is removed: it describes another WCS.
    """
    info = model.meta.wcsinfo
    crpix = None if info.crpix1 is None or info.crpix2 is None else (info.crpix1, info.crpix2)
    try:
        result = approximate(model.meta.wcs, config, bounds(model), crpix)
        keywords, problem = result.keywords, result.problem
    except (ValueError, RuntimeError) as error:
        keywords, problem = {}, f"no approximation: {error}"
    remove_sip(model)
    info.instance.update(keywords)
    return problem


def remove_sip(model: Any) -> None:
    """Take a SIP approximation out of ``meta.wcsinfo``: it describes another WCS."""
    info = model.meta.wcsinfo.instance
    for key in [key for key in info if is_sip_keyword(key)]:
        del info[key]


@dataclass(frozen=True, slots=True, kw_only=True)
class ExposureState:
    """What an alignment changes of an exposure, so that it can be given back.

    Attributes
    ----------
    wcs : gwcs.WCS
    status : str
        ``meta.cal_step.tweakreg``; empty for none.
    result : dict
        ``meta.tweakreg``; empty for none.
    """

    wcs: Any
    status: str
    result: dict[str, Any]


def state(model: Any) -> ExposureState:
    """The state of an exposure."""
    result = model.meta.instance.get("tweakreg") or {}
    return ExposureState(wcs=model.meta.wcs, status=str(model.meta.cal_step.tweakreg or ""), result=plain(result))


def restart(model: Any) -> None:
    """Take the tangent-plane correction out of the WCS of an exposure, if it has one."""
    try:
        original = uncorrected(model.meta.wcs)
    except WCSError as error:
        raise InputError(model.meta.filename, f"restart is not possible: {error}") from error
    if str(original.name).startswith("FIT-"):
        original.name = ""
    model.meta.wcs = original


def write_result(model: Any, tree: dict[str, Any]) -> None:
    """Write the result of an alignment to ``meta.tweakreg``, which FITS files keep in their ASDF part."""
    model.meta.tweakreg = tree


def read_result(exposure: Any) -> dict[str, Any]:
    """The result of an alignment that an exposure carries.

    Parameters
    ----------
    exposure : str, Path or datamodel

    Returns
    -------
    dict
        As in ``schemas/fit_result.schema.json``.

    Raises
    ------
    InputError
        It carries none, or one that does not follow the schema.
    """
    from stdatamodels.jwst import datamodels

    if isinstance(exposure, (str, Path)):
        try:
            with datamodels.open(exposure) as model:
                return read_result(model)
        except OSError as error:
            raise InputError(exposure, f"cannot be opened as a datamodel ({error})") from error
    name = exposure.meta.filename
    tree = exposure.meta.instance.get("tweakreg")
    if tree is None:
        raise InputError(name, "carries no result of an alignment: it was not aligned by this package")
    tree = plain(tree)
    problem = violation(tree, "fit_result")
    if problem is not None:
        raise InputError(name, f"meta.tweakreg does not follow the schema: {problem.json_path}: {problem.message}")
    return tree  # type: ignore[no-any-return]


def plain(value: Any) -> Any:
    """Containers of asdf as those of Python."""
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, Sequence) and not isinstance(value, str):
        return [plain(item) for item in value]
    return value


def write_keywords(model: Any, cards: list[list[Any]], known: Sequence[str]) -> None:
    """Write keywords to the header of the science extension, where every later save keeps them.

    Parameters
    ----------
    model : datamodel
    cards : list of [keyword, value, comment]
    known : sequence of str
        Keywords that are taken out first.
    """
    headers = model.instance.setdefault("extra_fits", {}).setdefault("SCI", {})
    others = [card for card in headers.get("header", []) if card[0] not in known]
    headers["header"] = others + cards


def set_status(model: Any, status: Status) -> None:
    """Write ``meta.cal_step.tweakreg``."""
    model.meta.cal_step.tweakreg = status.value
