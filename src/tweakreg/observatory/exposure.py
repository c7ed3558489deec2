"""What the pipeline knows of an exposure: the interface that each mission's module implements, and its records.

An exposure file holds one image or several, one per detector or chip. While a file is open, each of its images is an
`OpenImage`; what is kept of it when the file is put away is an `ExposureImage`. Whoever adds a mission writes a module
that is a `Mission`, with a class that is an `OpenImage`, and names it in `tweakreg.observatory.missions`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from tweakreg.plane import Bools, Floats, TangentPlane
from tweakreg.records import (
    Affine,
    FitQuality,
    Outcome,
    Picture,
    Pixels,
    PlacedCatalog,
    PlaneImage,
    SipConfig,
    SourceCatalog,
    Sources,
    Status,
)
from tweakreg.wcs.corrector import TelescopeAngles
from tweakreg.wcs.footprint import Bounds


@dataclass(frozen=True, slots=True, kw_only=True)
class ExposureImage:
    """What is kept of an image of an exposure while its file is put away.

    Attributes
    ----------
    name : str
        File name without folder and ending.
    group : str
        Images of one group are aligned to the others together.
    detector : str
        Name of the detector, as in the exposure.
    x, y : (N,) float arrays
        Sources, pixels.
    ra, dec : (N,) float arrays
        The same on the sky, degrees.
    flux : (N,) float array
        In the unit of the image; NaN where a custom catalog has none.
    weight : (N,) float array or None
        Relative weight in the fit, where the catalog gives one.
    footprint : (ra, dec)
        Vertices along the edges, degrees.
    pixel_scale : float
        arcsec.
    epoch : float
        Decimal year; NaN if the exposure does not say.
    problem : str
        Why it cannot be aligned; empty if it can.
    refused_as : Outcome
        How its stages end if it cannot.
    note : str
        Why there are so few sources, where that is known.
    shared_error : float
        Typical size of what exposures of the instrument have in common and cannot see, mas; NaN where it is not known.
    catalog_name : str or None
        New value of ``meta.tweakreg_catalog``: empty to clear it, None to leave it.
    corrected : bool
        Whether its WCS had a tangent-plane correction already.
    picture : Picture or None
        Of its pixels, where plots are asked for.
    observer : (3,) float array or None
        Barycentric position of the telescope, ICRS, au, if the exposure says.
    tied_as : str
        Images with this name in common are tied to the reference catalog together; empty for those of the group.
    member : int
        Index of its file in the library.
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
    problem: str = ""
    catalog_name: str | None = None
    corrected: bool = False
    picture: Picture | None = None
    observer: Floats | None = None
    tied_as: str = ""
    refused_as: Outcome = Outcome.UNSUPPORTED_WCS
    note: str = ""
    shared_error: float = np.nan
    member: int = 0

    @classmethod
    def refused(cls, image: OpenImage, group: str, outcome: Outcome, problem: str) -> ExposureImage:
        """What is kept of an image that cannot be aligned: no sources, and no place on the sky.

        Parameters
        ----------
        image : OpenImage
            The image.
        group : str
            To which it would belong.
        outcome : Outcome
            How its stages end.
        problem : str
            Why.
        """
        nothing = np.empty(0)
        return cls(
            name=image.name, group=group, detector=image.detector, x=nothing, y=nothing, ra=nothing, dec=nothing,
            flux=nothing, weight=None, footprint=(nothing, nothing), pixel_scale=np.nan, epoch=np.nan,
            problem=problem, refused_as=outcome,
        )  # fmt: skip

    @classmethod
    def of(cls, image: OnSky, catalog: SourceCatalog, group: str, **others: Any) -> ExposureImage:
        """What is kept of an image, and of its sources where its WCS puts them.

        Parameters
        ----------
        image : OnSky
            The image.
        catalog : SourceCatalog
            Its sources.
        group : str
            To which it belongs.
        **others : object
            What missions know in ways of their own: pixel_scale, epoch, and whatever has a default.
        """
        ra, dec = image.sky(catalog.x, catalog.y)
        return cls(
            name=image.name, group=group, detector=image.detector, x=catalog.x, y=catalog.y, ra=ra, dec=dec,
            flux=catalog.flux, weight=catalog.weight, footprint=image.footprint(), **others,
        )  # fmt: skip

    @property
    def key(self) -> str:
        """Of its correction among those of an alignment."""
        return self.tied_as or self.group

    @property
    def placed(self) -> PlacedCatalog:
        """Its sources on the detector and on the sky."""
        return PlacedCatalog(
            detector=self.detector, x=self.x, y=self.y, ra=self.ra, dec=self.dec, pixel_scale=self.pixel_scale
        )

    @property
    def catalog(self) -> SourceCatalog:
        """Its sources on the detector."""
        return SourceCatalog(x=self.x, y=self.y, flux=self.flux, weight=self.weight, name=self.name)

    def without(self, left_out: Bools) -> ExposureImage:
        """The exposure without some of its sources.

        Parameters
        ----------
        left_out : (N,) bool array
            True for these.
        """
        keep = ~left_out
        kept = {name: getattr(self, name)[keep] for name in ("x", "y", "ra", "dec", "flux")}
        return replace(self, **kept, weight=None if self.weight is None else self.weight[keep])

    def on_plane(self, plane: TangentPlane) -> PlaneImage:
        """The exposure as the alignment sees it.

        Parameters
        ----------
        plane : TangentPlane
            The common plane.
        """
        return PlaneImage(
            name=self.name,
            group=self.group,
            footprint=plane.project(*self.footprint),
            pixel_scale=self.pixel_scale,
            sources=Sources(xy=plane.project(self.ra, self.dec), weight=self.weight, name=self.name),
            tied_as=self.tied_as,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class ExposureState:
    """What an alignment changes of an exposure, so that it can be given back.

    Attributes
    ----------
    wcs : object
        Its WCS, of the mission's kind: something to be kept and given back.
    status : str
        How an earlier alignment ended, as ``meta.cal_step.tweakreg`` says it; empty for none.
    result : dict
        Result of that; empty for none.
    """

    wcs: Any
    status: str
    result: dict[str, Any]


class OnSky(Protocol):
    """What of an `OpenImage` is needed to say where its sources are.

    Attributes
    ----------
    name : str
        Of the image.
    """

    name: str

    @property
    def detector(self) -> str:
        """Name of the detector."""

    def sky(self, x: Floats, y: Floats) -> tuple[Floats, Floats]:
        """Right ascension and declination of pixels, degrees."""

    def footprint(self) -> tuple[Floats, Floats]:
        """Vertices along the edges, degrees."""


class OpenImage(OnSky, Protocol):
    """An image of an exposure whose file is open.

    Attributes
    ----------
    name : str
        Of the exposure, without folder and ending.
    """

    name: str

    @property
    def wcs(self) -> Any:
        """Of the mission's kind; for others it is something to be kept and given back."""

    @property
    def filename(self) -> str:
        """Of the exposure, for messages."""

    @property
    def bounds(self) -> Bounds:
        """Outer edges of the pixels for which the WCS is valid."""

    @property
    def angles(self) -> TelescopeAngles:
        """Where the detector's reference point lies in the telescope's frame."""

    @property
    def follows_target(self) -> str:
        """The target that the telescope followed over the sky; empty for a fixed one."""

    @property
    def corrected(self) -> bool:
        """Whether the WCS has a tangent-plane correction."""

    @property
    def wcs_name(self) -> str:
        """Name of the WCS; empty if it has none."""

    @property
    def identity(self) -> str:
        """A short text that two images share only if their WCS are the same."""

    @property
    def subgroup(self) -> str:
        """What is added to the group of its file, where a file holds several pointings; mostly empty."""

    @property
    def selection(self) -> dict[str, Any]:
        """Flat metadata by which parameters for it are chosen, such as ``meta.instrument.name``."""

    @property
    def unfit(self) -> tuple[Outcome, str] | None:
        """How the stages end if the image cannot be aligned, and why; None if it can."""

    @property
    def catalog_name(self) -> str | None:
        """The catalog of sources that the exposure itself names."""

    def pixels(self, *, errors: bool = False, dqbits: str = "") -> Pixels:
        """Pixels with a mask, and their errors where they are needed; bits of DQ that do no harm, if they are given."""

    def to_pixels(self, ra: Floats, dec: Floats) -> tuple[Floats, Floats]:
        """Pixels of sky positions in degrees."""

    def footprint(self) -> tuple[Floats, Floats]:
        """Vertices along the edges, degrees; every fourth part begins at a corner."""

    def measured(self, catalog: SourceCatalog, group: str, catalog_name: str | None = None) -> ExposureImage:
        """What the alignment needs of the image and its sources."""

    def uncorrected(self) -> OpenImage:
        """The image with its original pointing; the exposure itself is not changed."""

    def state(self) -> ExposureState:
        """What an alignment changes, as it is now."""

    def set_wcs(self, wcs: Any) -> None:
        """Give it a WCS, and an S_REGION to match."""

    def fitted_name(self, catalog: str | None, *, alone: bool = False) -> str | None:
        """Name of a WCS tied to a catalog, `alone` or with others, or to others only; None for the one it has."""

    def correct(self, correction: Affine, plane: TangentPlane, wcs_name: str | None) -> None:
        """Correct the WCS, and S_REGION; None keeps the name of the WCS."""

    def update_sip(self, config: SipConfig) -> str:
        """Make the SIP approximation that of the WCS, or take it out; why it is not accurate, if so."""

    def write_result(self, tree: dict[str, Any]) -> None:
        """Keep the result of an alignment with the exposure; an empty one takes an earlier one out."""

    def write_keywords(self, cards: Sequence[Sequence[Any]], known: Sequence[str]) -> None:
        """Write (keyword, value, comment) to the header of the image; those that are known are taken out first."""

    def write_fit(self, quality: FitQuality | None) -> None:
        """Say how good the WCS is, where the mission has a place for it; None for a WCS that was not fitted."""

    def write_status(self, status: Status | None) -> None:
        """Say how the alignment ended; None for not at all."""

    def write_names(self, catalog_name: str | None, filename: str | None) -> None:
        """The names of its catalog (empty for none) and of its file; None leaves them as they are."""


class Mission(Protocol):
    """What the module of a mission has.

    Attributes
    ----------
    NAME : str
        As CRDS has it.
    ENDINGS : tuple of str
        Of the files that its exposures can be saved in; the first is the usual one.
    OWN_LIBRARY : bool
        Whether the next steps of its pipeline take a library of its own class alone.
    """

    NAME: str
    ENDINGS: tuple[str, ...]
    OWN_LIBRARY: bool

    def is_file(self, path: Path) -> bool:
        """Whether a file is one of its exposures, by its content; no pixel is read. Files that are no files are not."""

    def is_model(self, model: Any) -> bool:
        """Whether an open datamodel is one of its exposures."""

    def open_model(self, path: str | Path, **kwargs: Any) -> Any:
        """Open a file as a datamodel, as stpipe has them; errors of others are told apart by who calls."""

    def images(self, model: Any, path: str | Path) -> Sequence[OpenImage]:
        """The images of a datamodel; `InputError` where it has none that can be aligned."""

    def group_of(self, model: Any) -> str:
        """The exposure to which a datamodel belongs; `stpipe.library.NoGroupID` where it does not say."""

    def group_of_file(self, path: Path) -> str:
        """As `group_of`; no pixel is read."""

    def exptype(self, model: Any) -> str:
        """What it is in an association."""

    def selection(self, path: Path) -> dict[str, Any]:
        """As `OpenImage.selection`; no pixel is read."""

    def prepare(self, model: Any, filename: str) -> None:
        """Make an open datamodel one of a library: with a file name, if it has none, and names that can be saved."""

    def join(self, model: Any, member: Mapping[str, Any], association: Mapping[str, Any]) -> None:
        """Write into a datamodel what its association says of it."""

    def check_savable(self, model: Any, path: Path) -> None:
        """Find what would keep it from being saved; `InputError` names it. No pixel is read."""

    def output_name(self, path: Path, suffix: str, ending: str) -> str:
        """Name of the result of a file."""


def common_plane(exposures: Sequence[ExposureImage]) -> TangentPlane:
    """The plane around the mean unit vector of the footprints.

    Parameters
    ----------
    exposures : sequence of ExposureImage
        At least one.
    """
    ra = np.concatenate([exposure.footprint[0] for exposure in exposures])
    dec = np.concatenate([exposure.footprint[1] for exposure in exposures])
    return TangentPlane.around(ra, dec)


def plain(value: Any) -> Any:
    """Containers of asdf as those of Python.

    Parameters
    ----------
    value : object
        Mappings and sequences at any depth, and what is in them.
    """
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, Sequence) and not isinstance(value, str):
        return [plain(item) for item in value]
    return value
