"""JWST datamodels: what is read of them, and what is written back."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from stpipe.library import NoGroupID

from tweakreg.errors import InputError, WCSError
from tweakreg.observatory.exposure import ExposureState, plain
from tweakreg.observatory.gwcs_image import GwcsImage, number
from tweakreg.observatory.header import check_header, encode_names, held
from tweakreg.observatory.names import bare_name, stem
from tweakreg.records import FitQuality, SipConfig, Status
from tweakreg.wcs.sip import approximate, is_sip_keyword

NAME = "jwst"
ENDINGS: tuple[str, ...] = (".fits", ".asdf")
OWN_LIBRARY = False

_GROUP_KEYWORDS = (
    "program_number",
    "observation_number",
    "visit_number",
    "visit_group",
    "sequence_id",
    "activity_id",
    "exposure_number",
)
#: How far detectors typically are from where the files have them, mas per axis: of NIRCam's short-wavelength ones in
#: CEERS, against the published solution of each detector.
_SHARED_ERRORS = {"NIRCAM": 12.5}
#: Pixels; a reference pixel that is farther from the first one is a mistake.
_FARTHEST_CRPIX = 1e5


class JwstImage(GwcsImage):
    """The image of a calibrated JWST datamodel; see `tweakreg.observatory.exposure.OpenImage`.

    Parameters
    ----------
    model : stdatamodels.jwst.datamodels.JwstDataModel
        Changed by what is written.
    name : str
        For messages and files: the file name without folder and ending.
    """

    telescope = "jwst"
    fitted = "FIT-LVL3-"

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
    def follows_target(self) -> str:
        """Name of a target whose ``meta.target.type`` is MOVING; empty for any other."""
        target = self._model.meta.target
        moving = str(target.type or "").strip().upper() == "MOVING"
        return str(target.catalog_name or target.proposer_name or "a moving target") if moving else ""

    @property
    def catalog_name(self) -> str | None:
        """``meta.tweakreg_catalog``."""
        name: str | None = self._model.meta.tweakreg_catalog
        return name

    @property
    def selection(self) -> dict[str, Any]:
        """What CRDS selects by."""
        return dict(self._model.get_crds_parameters())

    @property
    def _resampled(self) -> bool:
        """Whether it is combined of exposures; no exposure's WCS has but two frames."""
        return self._model.meta.cal_step.resample == "COMPLETE" or len(self.wcs.available_frames) == 2

    @property
    def _shared_error(self) -> float:
        """What is typical of the instrument."""
        return _SHARED_ERRORS.get(str(self._model.meta.instrument.name), np.nan)

    def _flags(self) -> Mapping[str, int]:
        """As the datamodels have them."""
        from stdatamodels.jwst.datamodels import dqflags

        flags: Mapping[str, int] = dqflags.pixel
        return flags

    def _times(self) -> Mapping[str, tuple[Any, str | None]]:
        """Its middle, or else its start or the date."""
        meta = self._model.meta
        return {
            "meta.exposure.mid_time": (meta.exposure.mid_time, "mjd"),
            "meta.exposure.start_time": (meta.exposure.start_time, "mjd"),
            "meta.observation.date": (meta.observation.date, None),
        }

    def _places(self) -> list[Any]:
        """Of the ephemeris."""
        return [getattr(self._model.meta.ephemeris, f"spatial_{axis}_bary", None) for axis in "xyz"]

    def _check_metadata(self) -> None:
        """Also the reference pixel, from which the SIP approximation starts."""
        super()._check_metadata()
        for name in ("crpix1", "crpix2"):
            value = number(self._model, name)
            if value is not None and abs(value) > _FARTHEST_CRPIX:
                raise WCSError(f"meta.wcsinfo.{name} = {value} is no pixel")

    def state(self) -> ExposureState:
        """What an alignment changes, as it is now."""
        meta = self._model.meta
        return ExposureState(wcs=meta.wcs, status=str(meta.cal_step.tweakreg or ""), result=read_tree(self._model))

    # --- what is written --------------------------------------------------------------------------------------

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


def model_of_hdus(hdulist: Any) -> Any:
    """An open file as the datamodel that its header names."""
    from stdatamodels.jwst import datamodels

    kind = getattr(datamodels, str(hdulist[0].header.get("DATAMODL")), datamodels.ImageModel)
    return kind(hdulist)


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
