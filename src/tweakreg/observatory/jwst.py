"""JWST datamodels: what is read of them, and what is written back."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from stpipe.library import NoGroupID

from tweakreg.errors import InputError, WCSError, first_line, logger
from tweakreg.observatory.exposure import ExposureImage, ExposureState, plain
from tweakreg.observatory.flags import unusable
from tweakreg.observatory.header import check_header, encode_names, held
from tweakreg.observatory.names import bare_name, stem
from tweakreg.plane import Floats, TangentPlane
from tweakreg.records import Affine, FitQuality, Outcome, Pixels, SipConfig, SourceCatalog, Status
from tweakreg.wcs.check import check_imaging
from tweakreg.wcs.corrector import TelescopeAngles, check_wcs, correct, is_corrected, uncorrected
from tweakreg.wcs.footprint import Bounds, pixel_bounds, pixel_scale, s_region, sky, to_pixels, vertices
from tweakreg.wcs.identity import wcs_hash
from tweakreg.wcs.sip import approximate, is_sip_keyword

log = logger(__name__)

NAME = "jwst"
ENDINGS: tuple[str, ...] = (".fits", ".asdf")

#: A WCS that is tied to a reference catalog is called this and the value of abs_refcat, as the JWST step does.
_WCS_NAME = "FIT-LVL3-"
_GROUP_KEYWORDS = (
    "program_number",
    "observation_number",
    "visit_number",
    "visit_group",
    "sequence_id",
    "activity_id",
    "exposure_number",
)
#: Bits of DQ that make a pixel unusable: all others do no harm.
UNUSABLE = "~DO_NOT_USE+NON_SCIENCE"
#: How far detectors typically are from where the files have them, mas per axis: of NIRCam's short-wavelength ones in
#: CEERS, against the published solution of each detector.
_SHARED_ERRORS = {"NIRCAM": 12.5}
#: Beyond these, angles (degrees), distances of the reference point from the middle of the detector (arcsec) and of the
#: reference pixel from the first one are mistakes.
_LARGEST_ROLL, _FARTHEST_REFERENCE, _FARTHEST_CRPIX = 720.0, 1200.0, 1e5
#: Years between which exposures of a space telescope are taken; a time outside would move stars by centuries.
_FIRST_LIGHT, _FAR_FUTURE = 1980.0, 2100.0


class JwstImage:
    """The image of a calibrated JWST datamodel; see `tweakreg.observatory.exposure.OpenImage`.

    Parameters
    ----------
    model : stdatamodels.jwst.datamodels.JwstDataModel
        Changed by what is written.
    name : str
        For messages and files: the file name without folder and ending.
    """

    def __init__(self, model: Any, name: str) -> None:
        self._model = model
        self.name = name
        #: The WCS that everything else goes by; `uncorrected` has another one than the datamodel.
        self.wcs: Any = model.meta.wcs

    @classmethod
    def checked(cls, model: Any, path: object, name: str) -> JwstImage:
        """The image of a datamodel.

        Raises
        ------
        InputError
            The datamodel has no two-dimensional image or no WCS of one.
        """
        shape = getattr(getattr(model, "data", None), "shape", ())
        if len(shape) != 2:
            needs = "tweakreg aligns calibrated images (_cal, _crf)"
            raise InputError(path, f"holds no two-dimensional science image; {needs}")
        if not hasattr(getattr(model.meta, "wcs", None), "available_frames"):
            raise InputError(path, "holds no GWCS: it is no calibrated JWST image, or assign_wcs was not run on it")
        return cls(model, name)

    # --- what is read -----------------------------------------------------------------------------------------

    @property
    def detector(self) -> str:
        """Name of the detector."""
        return str(self._model.meta.instrument.detector)

    @property
    def filename(self) -> str:
        """``meta.filename``."""
        return str(self._model.meta.filename)

    @property
    def bounds(self) -> Bounds:
        """Outer edges of the pixels for which the WCS is valid."""
        return pixel_bounds(self.wcs, self._model.data.shape)

    @property
    def follows_target(self) -> str:
        """Name of a target whose ``meta.target.type`` is MOVING; empty for any other."""
        target = self._model.meta.target
        moving = str(target.type or "").strip().upper() == "MOVING"
        return str(target.catalog_name or target.proposer_name or "a moving target") if moving else ""

    @property
    def corrected(self) -> bool:
        """Whether the WCS has a tangent-plane correction."""
        return is_corrected(self.wcs)

    @property
    def wcs_name(self) -> str:
        """Name of the WCS; empty if it has none."""
        return str(self.wcs.name or "")

    @property
    def catalog_name(self) -> str | None:
        """``meta.tweakreg_catalog``."""
        name: str | None = self._model.meta.tweakreg_catalog
        return name

    @property
    def angles(self) -> TelescopeAngles:
        """Reference angles of the detector.

        Raises
        ------
        WCSError
            The metadata lack one of them.
        """
        values = {name: _number(self._model, name) for name in ("v2_ref", "v3_ref", "roll_ref")}
        missing = [f"meta.wcsinfo.{name}" for name, value in values.items() if value is None]
        if missing:
            raise WCSError(f"{' and '.join(missing)} {'are' if len(missing) > 1 else 'is'} missing")
        return TelescopeAngles(**{name: value for name, value in values.items() if value is not None})

    @property
    def identity(self) -> str:
        """Of the WCS of the datamodel."""
        return wcs_hash(self.wcs)

    @property
    def subgroup(self) -> str:
        """None: a file is of one pointing."""
        return ""

    @property
    def selection(self) -> dict[str, Any]:
        """What CRDS selects by."""
        return dict(self._model.get_crds_parameters())

    def pixels(self, *, errors: bool = False, dqbits: str = "") -> Pixels:
        """Pixels, and their errors where they are needed; DO_NOT_USE and NON_SCIENCE ones are masked."""
        from stdatamodels.jwst.datamodels import dqflags

        model = self._model
        data = np.asarray(model.data)
        mask = np.zeros(data.shape, dtype=bool)
        if model.dq is not None and model.dq.shape == data.shape:
            mask = unusable(np.asarray(model.dq), dqbits or UNUSABLE, dqflags.pixel)
        error = None
        if errors and model.err is not None and model.err.shape == data.shape:
            error = np.asarray(model.err)
        return Pixels(data=data, error=error, mask=mask, bounds=self.bounds)

    def sky(self, x: Floats, y: Floats) -> tuple[Floats, Floats]:
        """Right ascension and declination of pixels, degrees."""
        return sky(self.wcs, x, y) if len(x) else (np.empty(0), np.empty(0))

    def to_pixels(self, ra: Floats, dec: Floats) -> tuple[Floats, Floats]:
        """Pixels of sky positions in degrees."""
        return to_pixels(self.wcs, ra, dec)

    def footprint(self) -> tuple[Floats, Floats]:
        """Vertices along the edges, degrees; every fourth part begins at a corner."""
        return vertices(self.wcs, self.bounds, n_per_side=4)

    def measured(self, catalog: SourceCatalog, group: str, catalog_name: str | None = None) -> ExposureImage:
        """What the alignment needs of the image and its sources."""
        ra, dec = self.sky(catalog.x, catalog.y)
        return ExposureImage(
            name=self.name,
            group=group,
            detector=self.detector,
            x=catalog.x,
            y=catalog.y,
            ra=ra,
            dec=dec,
            flux=catalog.flux,
            weight=catalog.weight,
            footprint=self.footprint(),
            pixel_scale=pixel_scale(self.wcs, self.bounds),
            epoch=self._epoch(),
            catalog_name=catalog_name,
            corrected=is_corrected(self._model.meta.wcs),
            observer=self._observer(),
            shared_error=_SHARED_ERRORS.get(str(self._model.meta.instrument.name), np.nan),
        )

    @property
    def unfit(self) -> tuple[Outcome, str] | None:
        """How the stages end if the image cannot be aligned, and why; None if it can."""
        try:
            check_imaging(self.wcs, self.bounds)
        except WCSError as error:
            return Outcome.IMPLAUSIBLE, str(error)
        try:
            check_wcs(self.wcs)
        except WCSError as error:
            return Outcome.NO_EXPOSURE if self._resampled else Outcome.UNSUPPORTED_WCS, str(error)
        try:
            self._check_metadata()
        except WCSError as error:
            return Outcome.IMPLAUSIBLE, str(error)
        return None

    @property
    def _resampled(self) -> bool:
        """Whether it is combined of exposures; no exposure's WCS has but two frames."""
        return self._model.meta.cal_step.resample == "COMPLETE" or len(self.wcs.available_frames) == 2

    def _check_metadata(self) -> None:
        """Raise `WCSError` where keywords that the correction needs cannot be those of an exposure."""
        angles = self.angles
        if abs(angles.roll_ref) > _LARGEST_ROLL:
            raise WCSError(f"meta.wcsinfo.roll_ref = {angles.roll_ref} is no angle in degrees")
        middle = [0.5 * sum(edges) for edges in self.bounds]
        place = self.wcs.get_transform("detector", "v2v3")(*middle)
        for name, said, real in zip(("v2_ref", "v3_ref"), (angles.v2_ref, angles.v3_ref), place, strict=True):
            if not abs(said - float(real)) < _FARTHEST_REFERENCE:
                away = f'is {abs(said - float(real)):.3g}" from the detector, which lies at {float(real):.1f}'
                raise WCSError(f"meta.wcsinfo.{name} = {said} {away}")
        for name in ("crpix1", "crpix2"):
            value = _number(self._model, name)
            if value is not None and abs(value) > _FARTHEST_CRPIX:
                raise WCSError(f"meta.wcsinfo.{name} = {value} is no pixel")

    def _observer(self) -> Floats | None:
        """Barycentric position, au; the ephemeris gives it in km."""
        from astropy.constants import au

        places = [getattr(self._model.meta.ephemeris, f"spatial_{axis}_bary", None) for axis in "xyz"]
        if all(place is None for place in places):
            return None
        try:
            observer = np.asarray(np.asarray(places, dtype=float) / au.to_value("km"))
        except (TypeError, ValueError):
            observer = np.full(3, np.nan)
        if not (0.5 < np.linalg.norm(observer) < 2.0):
            log.warning("%s: meta.ephemeris is no place of the telescope: it is not used", self.name)
            return None
        return observer

    def _epoch(self) -> float:
        """Middle of the exposure as decimal year, NaN if neither it nor the date is plausible."""
        from astropy.time import Time

        meta = self._model.meta
        said = {
            "meta.exposure.mid_time": (meta.exposure.mid_time, "mjd"),
            "meta.exposure.start_time": (meta.exposure.start_time, "mjd"),
            "meta.observation.date": (meta.observation.date, None),
        }
        for keyword, (value, form) in said.items():
            if value is None or value == "":
                continue
            try:
                year = float(Time(value if form else str(value), format=form).jyear)
            except (ValueError, TypeError, OverflowError):
                year = float("nan")
            if _FIRST_LIGHT < year < _FAR_FUTURE:
                return year
            log.warning("%s: %s = %s is no time of an exposure: it is not used", self.name, keyword, value)
        return float("nan")

    def uncorrected(self) -> JwstImage:
        """The image with its original pointing; the datamodel is not changed."""
        try:
            original = uncorrected(self.wcs)
        except WCSError as error:
            raise InputError(self._model.meta.filename, f"restart is not possible: {error}") from error
        if original is not self.wcs and str(original.name).startswith("FIT-"):
            original.name = ""
        image = JwstImage(self._model, self.name)
        image.wcs = original
        return image

    def state(self) -> ExposureState:
        """What an alignment changes, as it is now."""
        meta = self._model.meta
        return ExposureState(wcs=meta.wcs, status=str(meta.cal_step.tweakreg or ""), result=read_tree(self._model))

    def fitted_name(self, catalog: str | None, *, alone: bool = False) -> str | None:
        """As the JWST step calls it; an earlier tie to a catalog does not hold once the WCS has changed."""
        if catalog is not None:
            return _WCS_NAME + catalog
        return "" if self.wcs_name.startswith(_WCS_NAME) else None

    # --- what is written --------------------------------------------------------------------------------------

    def set_wcs(self, wcs: Any) -> None:
        """Give it a WCS, and an S_REGION to match."""
        self.wcs = self._model.meta.wcs = wcs
        self._update_s_region()

    def correct(self, correction: Affine, plane: TangentPlane, wcs_name: str | None) -> None:
        """Correct the WCS and all that describes it but the SIP approximation.

        Parameters
        ----------
        correction : Affine
            On `plane`; the identity leaves the WCS as it is.
        plane : TangentPlane
            The plane on which it was found.
        wcs_name : str or None
            New name of the WCS; None keeps the old one.

        Raises
        ------
        WCSError
            The WCS turns out not to allow it.
        """
        if not correction.is_identity:
            try:
                self.wcs = self._model.meta.wcs = correct(self.wcs, self.angles, correction, plane, self.bounds)
            except (ValueError, ArithmeticError, np.linalg.LinAlgError) as error:
                raise WCSError(f"its WCS cannot be corrected ({first_line(error)})") from error
        if wcs_name is not None:
            self.wcs.name = wcs_name
        self._update_s_region()

    def _update_s_region(self) -> None:
        try:
            self._model.meta.wcsinfo.s_region = s_region(self.wcs, self.bounds)
        except ValueError as error:
            log.warning("%s: S_REGION is not updated: %s", self._model.meta.filename, error)

    def update_sip(self, config: SipConfig) -> str:
        """Write the SIP approximation of the WCS to ``meta.wcsinfo``, or take the old one out.

        Returns
        -------
        str
            Why the accuracy that was asked for is not reached; empty if it is. Where no
            approximation could be made, the old one is removed: it describes another WCS.
        """
        info = self._model.meta.wcsinfo
        keywords: dict[str, Any] = {}
        problem = ""
        if config.approximate:
            crpix = None if info.crpix1 is None or info.crpix2 is None else (info.crpix1, info.crpix2)
            try:
                result = approximate(self.wcs, config, self.bounds, crpix)
                keywords, problem = result.keywords, result.problem
            except (ValueError, RuntimeError) as error:
                problem = f"no approximation: {error}"
        for key in [key for key in info.instance if is_sip_keyword(key)]:
            del info.instance[key]
        info.instance.update(keywords)
        return problem

    def write_result(self, tree: dict[str, Any]) -> None:
        """Keep the result of an alignment as ``meta.tweakreg``, which FITS files have in their ASDF part."""
        if tree:
            self._model.meta.tweakreg = tree
        else:
            self._model.meta.instance.pop("tweakreg", None)

    def write_keywords(self, cards: Sequence[Sequence[Any]], known: Sequence[str]) -> None:
        """Write keywords to the header of the science extension, where every later save keeps them.

        Parameters
        ----------
        cards : sequence of (keyword, value, comment)
            What is written.
        known : sequence of str
            Keywords that are taken out first.
        """
        headers = self._model.instance.setdefault("extra_fits", {}).setdefault("SCI", {})
        others = [card for card in headers.get("header", []) if card[0] not in known]
        headers["header"] = others + [list(card) for card in cards]

    def write_fit(self, quality: FitQuality | None) -> None:
        """Nothing: the keywords of the result say it."""

    def write_status(self, status: Status | None) -> None:
        """Write ``meta.cal_step.tweakreg``."""
        self._model.meta.cal_step.tweakreg = None if status is None else status.value

    def write_names(self, catalog_name: str | None, filename: str | None) -> None:
        """Write ``meta.tweakreg_catalog`` and ``meta.filename``; None leaves them as they are."""
        if catalog_name is not None:
            self._model.meta.tweakreg_catalog = held(catalog_name) or None
        if filename is not None:
            self._model.meta.filename = filename


def is_file(path: Path) -> bool:
    """Whether it is of no other mission: what it lacks is told when it is opened."""
    return True


def is_model(model: Any) -> bool:
    """Whether it is a datamodel of JWST, or of no mission that is known."""
    return True


def open_model(path: str | Path, **kwargs: Any) -> Any:
    """Open a file as the datamodel that its header names."""
    from stdatamodels.jwst import datamodels

    return datamodels.open(path, **kwargs)


def images(model: Any, path: str | Path) -> list[JwstImage]:
    """The only one; see `tweakreg.observatory.exposure.Mission` for this and what follows."""
    return [JwstImage.checked(model, path, bare_name(path))]


def group_of(model: Any) -> str:
    """``meta.group_id``, or what the observation keywords say."""
    group_id = getattr(model.meta, "group_id", None)
    return str(group_id) if group_id not in (None, "") else _exposure_of(model.meta.observation.instance)


def group_of_file(path: Path) -> str:
    """As `group_of`."""
    from stdatamodels.jwst.datamodels import read_metadata

    meta = read_metadata(path, flatten=False).get("meta", {})
    group_id = meta.get("group_id")
    return str(group_id) if group_id not in (None, "") else _exposure_of(meta.get("observation", {}))


def _exposure_of(observation: Mapping[str, Any]) -> str:
    """The exposure that a detector's image belongs to, from the observation keywords."""
    values = [observation.get(key) for key in _GROUP_KEYWORDS]
    if None in values:
        missing = ", ".join(key for key, value in zip(_GROUP_KEYWORDS, values, strict=True) if value is None)
        raise NoGroupID(f"observation keywords are missing: {missing}")
    program, observation_number, visit, visit_group, sequence, activity, exposure = values
    return f"jw{program}{observation_number}{visit}_{visit_group}{sequence}{activity}_{exposure}"


def exptype(model: Any) -> str:
    """``meta.asn.exptype``."""
    return str(getattr(model.meta.asn, "exptype", None) or "science").lower()


def selection(path: Path) -> dict[str, Any]:
    """All metadata."""
    from stdatamodels.jwst.datamodels import read_metadata

    return dict(read_metadata(path, flatten=True))


def prepare(model: Any, filename: str) -> None:
    """Names of files such that a FITS header can hold them."""
    encode_names(model)
    model.meta.filename = model.meta.filename or f"{filename}.fits"


def join(model: Any, member: Mapping[str, Any], association: Mapping[str, Any]) -> None:
    """``meta.group_id`` and ``meta.asn``."""
    model.meta.group_id = str(member["group_id"])
    model.meta.asn.exptype = member["exptype"]
    if "table_name" in association:
        model.meta.asn.table_name = association["table_name"]
    if association.get("asn_pool"):
        model.meta.asn.pool_name = association["asn_pool"]
    encode_names(model)


def check_savable(model: Any, path: Path) -> None:
    """A FITS header can hold all of it."""
    check_header(model, path)


def output_name(path: Path, suffix: str, ending: str) -> str:
    """The last word of the name makes way for the suffix."""
    return f"{stem(path)}_{suffix}{ending}"


def read_tree(model: Any) -> dict[str, Any]:
    """The result that a datamodel carries, as it is; empty for none."""
    tree: dict[str, Any] = plain(model.meta.instance.get("tweakreg") or {})
    return tree


def _number(model: Any, name: str) -> float | None:
    """A number of ``meta.wcsinfo``; None if it is missing. Raises `WCSError` if it is none."""
    value = getattr(model.meta.wcsinfo, name)
    if value is None:
        return None
    try:
        number = float(value)
    except (TypeError, ValueError):
        number = np.nan
    if not np.isfinite(number):
        raise WCSError(f"meta.wcsinfo.{name} = {value!r} is no number")
    return number
