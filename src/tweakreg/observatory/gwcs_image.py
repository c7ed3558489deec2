"""What images with a GWCS have in common, whatever the mission: how its WCS is read, checked and corrected."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any, Self

import numpy as np

from tweakreg.errors import InputError, WCSError, first_line, logger
from tweakreg.observatory.exposure import ExposureImage
from tweakreg.observatory.flags import unusable
from tweakreg.plane import Floats, TangentPlane
from tweakreg.records import Affine, Outcome, Pixels, SourceCatalog
from tweakreg.wcs.check import check_imaging
from tweakreg.wcs.corrector import TelescopeAngles, check_wcs, correct, is_corrected, uncorrected
from tweakreg.wcs.footprint import Bounds, pixel_bounds, pixel_scale, s_region, sky, to_pixels, vertices
from tweakreg.wcs.identity import wcs_hash

log = logger(__name__)

#: Bits of DQ that make a pixel unusable: all others do no harm.
UNUSABLE = "~DO_NOT_USE+NON_SCIENCE"
#: Beyond these, angles (degrees) and distances of the reference point from the middle of the detector (arcsec) are
#: mistakes.
_LARGEST_ROLL, _FARTHEST_REFERENCE = 720.0, 1200.0
#: Years between which exposures of a space telescope are taken; a time outside would move stars by centuries.
_FIRST_LIGHT, _FAR_FUTURE = 1980.0, 2100.0


class GwcsImage(ABC):
    """The image of a datamodel with a GWCS; see `tweakreg.observatory.exposure.OpenImage`.

    Parameters
    ----------
    model : datamodel
        Changed by what is written.
    name : str
        For messages and files: the file name without folder and ending.
    """

    #: Whose label a correction has; see `tweakreg.wcs.corrector`.
    telescope: str
    #: A WCS that is tied to a reference catalog is called this and the name of the catalog, as the mission's step does.
    fitted: str

    def __init__(self, model: Any, name: str) -> None:
        self._model = model
        self.name = name
        #: The WCS that everything else goes by; `uncorrected` has another one than the datamodel.
        self.wcs: Any = model.meta.wcs

    # --- what the missions differ in --------------------------------------------------------------------------

    @abstractmethod
    def _flags(self) -> Mapping[str, int]:
        """What the bits of DQ are called."""

    @abstractmethod
    def _times(self) -> Mapping[str, tuple[Any, str | None]]:
        """Keywords that say when it was taken, the best first: each with a value and the format of a number."""

    @abstractmethod
    def _places(self) -> Sequence[Any]:
        """Barycentric x, y, z of the telescope, km; None where the exposure does not say."""

    @property
    @abstractmethod
    def _resampled(self) -> bool:
        """Whether it is combined of exposures."""

    @property
    def _shared_error(self) -> float:
        """See `ExposureImage.shared_error`."""
        return float("nan")

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
    def corrected(self) -> bool:
        """Whether the WCS has a tangent-plane correction."""
        return is_corrected(self.wcs)

    @property
    def wcs_name(self) -> str:
        """Name of the WCS; empty if it has none."""
        return str(self.wcs.name or "")

    @property
    def angles(self) -> TelescopeAngles:
        """Reference angles of the detector.

        Raises
        ------
        WCSError
            The metadata lack one of them.
        """
        values = {name: number(self._model, name) for name in ("v2_ref", "v3_ref", "roll_ref")}
        missing = [f"meta.wcsinfo.{name}" for name, value in values.items() if value is None]
        if missing:
            raise WCSError(f"{' and '.join(missing)} {'are' if len(missing) > 1 else 'is'} missing")
        said = {name: value for name, value in values.items() if value is not None}
        return TelescopeAngles(**said, telescope=self.telescope)

    @property
    def identity(self) -> str:
        """Of the WCS of the datamodel."""
        return wcs_hash(self.wcs)

    @property
    def subgroup(self) -> str:
        """None: a file is of one pointing."""
        return ""

    def pixels(self, *, errors: bool = False, dqbits: str = "") -> Pixels:
        """Pixels, and their errors where they are needed; DO_NOT_USE and NON_SCIENCE ones are masked."""
        data = np.asarray(self._model.data)
        dq, error = (self._array(name, data.shape) for name in ("dq", "err" if errors else ""))
        mask = np.zeros(data.shape, dtype=bool) if dq is None else unusable(dq, dqbits or UNUSABLE, self._flags())
        if error is not None and error.dtype.itemsize < 4:  # squares of them overflow
            error = error.astype(np.float32)
        return Pixels(data=data, error=error, mask=mask, bounds=self.bounds)

    def _array(self, name: str, shape: tuple[int, ...]) -> Any:
        """An array of the datamodel; None where it has none of that shape."""
        array = getattr(self._model, name, None) if name else None
        return np.asarray(array) if array is not None and array.shape == shape else None

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
        return ExposureImage.of(
            self,
            catalog,
            group,
            pixel_scale=pixel_scale(self.wcs, self.bounds),
            epoch=self._epoch(),
            catalog_name=catalog_name,
            corrected=is_corrected(self._model.meta.wcs),
            observer=self._observer(),
            shared_error=self._shared_error,
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

    def _observer(self) -> Floats | None:
        """Barycentric position, au; the ephemeris gives it in km."""
        from astropy.constants import au

        places = self._places()
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

        for keyword, (value, form) in self._times().items():
            if value is None or (isinstance(value, str) and not value):
                continue
            try:
                year = float(Time(value if form or isinstance(value, Time) else str(value), format=form).jyear)
            except (ValueError, TypeError, OverflowError):
                year = float("nan")
            if _FIRST_LIGHT < year < _FAR_FUTURE:
                return year
            log.warning("%s: %s = %s is no time of an exposure: it is not used", self.name, keyword, value)
        return float("nan")

    def uncorrected(self) -> Self:
        """The image with its original pointing; the datamodel is not changed."""
        try:
            original = uncorrected(self.wcs)
        except WCSError as error:
            raise InputError(self._model.meta.filename, f"restart is not possible: {error}") from error
        if original is not self.wcs and str(original.name).startswith("FIT-"):
            original.name = ""
        image = type(self)(self._model, self.name)
        image.wcs = original
        return image

    def fitted_name(self, catalog: str | None, *, alone: bool = False) -> str | None:
        """As the mission's step calls it; an earlier tie to a catalog does not hold once the WCS has changed."""
        if catalog is not None:
            return self.fitted + catalog
        return "" if self.wcs_name.startswith(self.fitted) else None

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


def number(model: Any, name: str) -> float | None:
    """A number of ``meta.wcsinfo``; None if it is missing. Raises `WCSError` if it is none."""
    value = getattr(getattr(model.meta, "wcsinfo", None), name, None)
    if value is None:
        return None
    try:
        said = float(value)
    except (TypeError, ValueError):
        said = np.nan
    if not np.isfinite(said):
        raise WCSError(f"meta.wcsinfo.{name} = {value!r} is no number")
    return said
