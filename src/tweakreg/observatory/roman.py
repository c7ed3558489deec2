"""Roman datamodels: what is read of them, and what is written back."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from stpipe.library import NoGroupID

from tweakreg.errors import InputError
from tweakreg.observatory.exposure import ExposureState, plain
from tweakreg.observatory.gwcs_image import GwcsImage
from tweakreg.observatory.names import bare_name, stem
from tweakreg.process import recorded
from tweakreg.records import FitQuality, SipConfig, Status

NAME = "roman"
ENDINGS: tuple[str, ...] = (".asdf",)
OWN_LIBRARY = True

#: Bytes at the start of a file among which its kind stands: before it come only the versions of what wrote it.
_START = 16384
_ROMAN = re.compile(rb"^roman:[ \r\n]", re.MULTILINE)
#: What the archive's files have where nothing is known.
_UNKNOWN = (None, "", "?", -999999, -999999.0)
#: A step that was not run.
_NOT_RUN = "INCOMPLETE"


class RomanImage(GwcsImage):
    """The image of a calibrated Roman datamodel; see `tweakreg.observatory.exposure.OpenImage`.

    Parameters
    ----------
    model : roman_datamodels.datamodels.DataModel
        Changed by what is written.
    name : str
        For messages and files: the file name without folder and ending.
    """

    telescope = "roman"
    fitted = "FIT-LVL2-"

    @classmethod
    def checked(cls, model: Any, path: object, name: str) -> RomanImage:
        """The image of a datamodel.

        Raises
        ------
        InputError
            The datamodel has no two-dimensional image, no WCS of one, or no place for a status.
        """
        shape = getattr(model.get("data"), "shape", ())
        if len(shape) != 2:
            raise InputError(path, "holds no two-dimensional science image; tweakreg aligns calibrated images (_cal)")
        if not hasattr(model.meta.get("wcs"), "available_frames"):
            raise InputError(path, "holds no GWCS: it is no calibrated Roman image, or assign_wcs was not run on it")
        if not isinstance(model.meta.get("cal_step"), Mapping):
            raise InputError(path, "has no meta.cal_step: it is no calibrated Roman image")
        return cls(model, name)

    # --- what is read -----------------------------------------------------------------------------------------

    @property
    def detector(self) -> str:
        """``meta.instrument.detector``."""
        return str(_value(self._model.meta, "instrument.detector") or "")

    @property
    def follows_target(self) -> str:
        """Nothing: the telescope follows no moving targets."""
        return ""

    @property
    def catalog_name(self) -> str | None:
        """``meta.source_catalog.tweakreg_catalog_name``."""
        name = _value(self._model.meta, "source_catalog.tweakreg_catalog_name")
        return None if name is None else str(name)

    @property
    def selection(self) -> dict[str, Any]:
        """What CRDS selects by."""
        return _flat(self._model)

    @property
    def _resampled(self) -> bool:
        """A mosaic's WCS has but two frames."""
        return len(self.wcs.available_frames) == 2

    def _flags(self) -> Mapping[str, int]:
        """As the datamodels have them."""
        from roman_datamodels.dqflags import pixel

        return {flag.name: int(flag) for flag in pixel}

    def _times(self) -> Mapping[str, tuple[Any, str | None]]:
        """Its middle, or else its start."""
        keywords = ("exposure.mid_time", "exposure.start_time")
        return {f"meta.{keyword}": (_value(self._model.meta, keyword), None) for keyword in keywords}

    def _places(self) -> list[Any]:
        """Of the ephemeris."""
        return [_value(self._model.meta, f"ephemeris.spatial_{axis}") for axis in "xyz"]

    def state(self) -> ExposureState:
        """What an alignment changes, as it is now."""
        meta = self._model.meta
        said = str(meta.cal_step.get("tweakreg"))
        status = said if said in {each.value for each in Status} else ""
        return ExposureState(wcs=meta.wcs, status=status, result=plain(meta.get("tweakreg") or {}))

    # --- what is written --------------------------------------------------------------------------------------

    def update_sip(self, config: SipConfig) -> str:
        """Nothing: the files have no SIP approximation."""
        return ""

    def write_result(self, tree: dict[str, Any]) -> None:
        """Keep the result of an alignment as ``meta.tweakreg``."""
        self._write("tweakreg", tree)

    def write_keywords(self, cards: Sequence[Sequence[Any]], known: Sequence[str]) -> None:
        """Nothing: the files have no FITS header."""

    def write_fit(self, quality: FitQuality | None) -> None:
        """Write ``meta.wcs_fit_results`` with the names and units, arcsec, that romancal gives them."""
        self._write("wcs_fit_results", {} if quality is None else _fit_results(quality))

    def write_status(self, status: Status | None) -> None:
        """Write ``meta.cal_step.tweakreg``; an image that failed has a fit that says so."""
        meta = self._model.meta
        meta.cal_step["tweakreg"] = _NOT_RUN if status is None else status.value
        if status in (Status.FAILED, Status.SKIPPED) and "wcs_fit_results" not in meta:
            self._write("wcs_fit_results", {"status": "FAILED", "nmatches": 0})

    def write_names(self, catalog_name: str | None, filename: str | None) -> None:
        """Write ``meta.source_catalog.tweakreg_catalog_name`` and ``meta.filename``; None leaves them as they are."""
        meta = self._model.meta
        if catalog_name:
            meta["source_catalog"] = {**meta.get("source_catalog", {}), "tweakreg_catalog_name": catalog_name}
        elif catalog_name is not None and "source_catalog" in meta:
            meta.source_catalog.pop("tweakreg_catalog_name", None)
        if filename is not None:
            meta["filename"] = filename

    def _write(self, name: str, tree: dict[str, Any]) -> None:
        """Metadata of a name that no schema has, or none; such names can be no attributes."""
        if tree:
            self._model.meta[name] = tree
        else:
            self._model.meta.pop(name, None)


def _fit_results(quality: FitQuality) -> dict[str, Any]:
    """As tweakwcs tells of a fit, whose words romancal takes; the matrix turns about the origin of our plane."""
    correction = quality.correction
    return {
        "status": "SUCCESS",
        "fitgeom": quality.geometry,
        "matrix": correction.matrix.tolist(),
        "shift": correction.shift.tolist(),
        "center": [0.0, 0.0],
        "rot": list(correction.rotations),
        "<rot>": correction.rotation,
        "proper_rot": correction.rotation,
        "scale": list(correction.scales),
        "<scale>": correction.scale,
        "skew": correction.skew,
        "nmatches": quality.n_used,
        "rmse": quality.rms / 1000.0,
        "mae": quality.mae / 1000.0,
    }


def is_file(path: Path) -> bool:
    """Whether it is ASDF with a Roman datamodel; see `tweakreg.observatory.exposure.Mission` for what follows."""
    try:
        with path.open("rb") as file:
            return file.read(5) == b"#ASDF" and _ROMAN.search(file.read(_START)) is not None
    except (OSError, ValueError):
        return False


def is_model(model: Any) -> bool:
    """Whether it is a Roman datamodel."""
    return getattr(model, "crds_observatory", None) == NAME


def open_model(path: str | Path, **kwargs: Any) -> Any:
    """Open a file as the datamodel that its tag names."""
    try:
        import roman_datamodels
    except ImportError as error:
        needs = "is a Roman exposure, which needs roman_datamodels: pip install 'tweakreg[roman]'"
        raise InputError(path, needs) from error
    with recorded():  # that a file was renamed, or written by another version, is no news
        return roman_datamodels.open(path, **kwargs)


def images(model: Any, path: str | Path) -> list[RomanImage]:
    """The only one."""
    return [RomanImage.checked(model, path, bare_name(path))]


def group_of(model: Any) -> str:
    """``meta.group_id``, or what ``meta.observation`` says."""
    return _group(model.meta)


def group_of_file(path: Path) -> str:
    """As `group_of`."""
    import asdf.util

    return _group(asdf.util.load_yaml(path)["roman"].get("meta", {}))


def _group(meta: Mapping[str, Any]) -> str:
    for name in ("group_id", "observation.observation_id"):
        if (said := _value(meta, name)) is not None:
            return str(said)
    raise NoGroupID("meta.observation.observation_id is missing")


def exptype(model: Any) -> str:
    """``meta.asn.exptype``."""
    return str(_value(model.meta, "asn.exptype") or "science").lower()


def selection(path: Path) -> dict[str, Any]:
    """All metadata."""
    with open_model(path) as model:
        return _flat(model)


def prepare(model: Any, filename: str) -> None:
    """A file name, where there is none."""
    if _value(model.meta, "filename") is None:
        model.meta["filename"] = f"{filename}.asdf"


def join(model: Any, member: Mapping[str, Any], association: Mapping[str, Any]) -> None:
    """``meta.asn``, and ``meta.group_id`` where it is another than the exposure itself says."""
    meta, group = model.meta, str(member["group_id"])
    try:
        known = _group(meta)
    except NoGroupID:
        known = ""
    if group != known:
        meta["group_id"] = group
    names = {"table_name": "table_name", "asn_pool": "pool_name"}
    said = {name: association[key] for key, name in names.items() if association.get(key)}
    if said:
        meta["asn"] = {**meta.get("asn", {}), **said}


def check_savable(model: Any, path: Path) -> None:
    """Nothing: ASDF holds all of it."""


def output_name(path: Path, suffix: str, ending: str) -> str:
    """The last word of the name makes way for the suffix."""
    return f"{stem(path)}_{suffix}{ending}"


def _value(meta: Mapping[str, Any], name: str) -> Any:
    """Metadata of a name with dots; None where they are missing or unknown."""
    node: Any = meta
    for part in name.split("."):
        node = node.get(part) if isinstance(node, Mapping) else None
    return None if isinstance(node, (str, int, float, type(None))) and node in _UNKNOWN else node


def _flat(model: Any) -> dict[str, Any]:
    """Metadata by names that begin with ``meta``, as those of the other missions."""
    return {name.removeprefix("roman."): value for name, value in model.get_crds_parameters().items()}
