"""The records that pass between the rooms of the package."""

from __future__ import annotations

import enum
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tweakreg.plane import Floats, TangentPlane, separation

Bools = NDArray[np.bool_]
Ints = NDArray[np.intp]


class Stage(enum.Enum):
    """The two alignments of a run."""

    RELATIVE = "relative"
    ABSOLUTE = "absolute"


class Outcome(enum.Enum):
    """How a stage ended for one group of images; the value is the sentence a person reads."""

    ALIGNED = "aligned"
    REFERENCE = "reference: the others were aligned to it"
    NOT_NEEDED = "only one exposure, nothing to align it to: set abs_refcat"
    NOT_REQUESTED = "not requested"
    TOO_FEW_SOURCES = "too few sources: lower snr_threshold or minobj, or check kernel_fwhm"
    TOO_FEW_MATCHES = "too few matches: check searchrad, tolerance and the source finding"
    AMBIGUOUS = "ambiguous: the matches could be chance, or two offsets explain them equally well"
    WORSE = "the fit makes sources that it did not use worse: use a simpler fitgeometry"
    TOO_LARGE = "the correction is larger than searchrad and tolerance allow"
    SINGULAR = "the matched stars do not determine the fit: use a simpler fitgeometry"
    NO_OVERLAP = "no overlap with the other exposures"
    NOT_TIED = "not aligned to the other exposures: the absolute stage says whether the catalog ties it"
    NO_REFERENCE = "there is no usable reference catalog"
    NOTHING_ALIGNED = "the others could not be aligned to it"
    UNSUPPORTED_WCS = "the WCS has no V2-V3 frame in which it could be corrected"

    @property
    def sentence(self) -> str:
        """What happened, and where it helps, what to change."""
        return self.value

    @property
    def brief(self) -> str:
        """What happened, without what to change."""
        return self.value.split(":")[0]

    @property
    def remedy(self) -> str:
        """What a person can do about it."""
        return _REMEDIES[self.name]


_REMEDIES = {
    "ALIGNED": "None is needed; the log line has the number of matches and the rms.",
    "REFERENCE": "None is needed: its pointing defines that of the others, and the absolute stage corrects all.",
    "NOT_NEEDED": "Set abs_refcat to align it to a catalog, or give the step more exposures.",
    "NOT_REQUESTED": "Set abs_refcat to ask for it.",
    "TOO_FEW_SOURCES": (
        "Lower snr_threshold; set kernel_fwhm to the width of the stars; widen sharplo, sharphi and roundhi; try "
        "another starfinder, or bring a catalog. In a field without stars, lower minobj, as far as max_false_prob "
        "allows."
    ),
    "TOO_FEW_MATCHES": (
        "Raise searchrad if the pointing may be off by more; raise brightest, so that both catalogs reach the same "
        "stars; lower minobj in sparse fields. Few common sources at all mean false detections: raise "
        "snr_threshold."
    ),
    "AMBIGUOUS": (
        "Give the match more stars: raise brightest, lower snr_threshold. Make the search smaller: lower "
        "searchrad, or set xoffset and yoffset if the offset is known. To accept the risk, raise max_false_prob or "
        "max_rival."
    ),
    "WORSE": "Use a simpler fitgeometry, give the fit more stars, or raise max_worsening.",
    "TOO_LARGE": (
        "Raise searchrad if an error of the pointing as large as this is possible; otherwise the match is false."
    ),
    "SINGULAR": "Use fitgeometry shift or rshift, or give the fit more stars that are spread over the image.",
    "NO_OVERLAP": "Set abs_refcat, so that the catalog ties it, or leave the exposure to a run of its own.",
    "NOT_TIED": "Look at the absolute stage of the image: if that is aligned, all is well.",
    "NO_REFERENCE": (
        "If a service did not answer, set abs_fallback, or fetch a bundle where there is a network, with "
        "tweakreg refcat fetch, and use that as abs_refcat."
    ),
    "NOTHING_ALIGNED": "Look at the other images' outcomes: their remedies help here.",
    "UNSUPPORTED_WCS": "Run assign_wcs on the exposure again: its WCS is no imaging WCS with a frame v2v3.",
}


class Status(enum.Enum):
    """Values of ``meta.cal_step.tweakreg``."""

    COMPLETE = "COMPLETE"
    FAILED = "FAILED"
    SKIPPED = "SKIPPED"


_RELATIVE_SUCCESS = {Outcome.ALIGNED, Outcome.REFERENCE}
_ABSOLUTE_REPLACES = {Outcome.NOT_NEEDED, Outcome.NO_OVERLAP, Outcome.NOT_TIED}


def status(relative: Outcome, absolute: Outcome) -> Status:
    """The one table from outcomes to ``cal_step``.

    COMPLETE if every requested stage succeeded. An image that could not be tied to
    the others is complete where the reference catalog ties it instead.
    """
    if absolute is Outcome.NOT_REQUESTED:
        return Status.COMPLETE if relative in _RELATIVE_SUCCESS else Status.FAILED
    relative_ok = relative in _RELATIVE_SUCCESS | _ABSOLUTE_REPLACES
    return Status.COMPLETE if relative_ok and absolute is Outcome.ALIGNED else Status.FAILED


@dataclass(frozen=True, slots=True, kw_only=True)
class Pixels:
    """What source finding needs of an exposure.

    Attributes
    ----------
    data : (ny, nx) float array
        Science pixels, any unit.
    error : (ny, nx) float array or None
        Standard deviations, same unit.
    mask : (ny, nx) bool array
        True where a pixel must not be used.
    bounds : ((xmin, xmax), (ymin, ymax)) or None
        Where the WCS is valid, in 0-indexed pixels; sources outside are dropped.
    """

    data: Floats
    error: Floats | None
    mask: Bools
    bounds: tuple[tuple[float, float], tuple[float, float]] | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Picture:
    """A small picture of an exposure's pixels, for people.

    Attributes
    ----------
    values : (h, w) uint8 array
        0 is the sky, 255 the brightest; of no pixel, 0.
    step : int
        Pixels per side of a cell.
    shape : (int, int)
        Of the exposure: ny, nx.
    """

    values: NDArray[np.uint8]
    step: int
    shape: tuple[int, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceCatalog:
    """Sources of one image.

    Attributes
    ----------
    x, y : (N,) float arrays
        Positions in pixels; the centre of the first pixel is (0, 0).
    flux : (N,) float array
        Flux in the unit of the image; NaN where a custom catalog has none.
    weight : (N,) float array or None
        Relative weight in the fit, where the catalog gives one.
    name : str
        Name for messages.
    """

    x: Floats
    y: Floats
    flux: Floats
    weight: Floats | None = None
    name: str = ""

    def __len__(self) -> int:
        return len(self.x)

    def __getitem__(self, index: Bools | Ints) -> SourceCatalog:
        weight = None if self.weight is None else self.weight[index]
        return SourceCatalog(x=self.x[index], y=self.y[index], flux=self.flux[index], weight=weight, name=self.name)

    @classmethod
    def empty(cls, name: str = "") -> SourceCatalog:
        """A catalog without sources."""
        none = np.empty(0)
        return cls(x=none, y=none, flux=none, name=name)


def magnitudes(flux: Floats) -> Floats:
    """Instrumental magnitudes; NaN where the flux is not positive."""
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(flux > 0.0, -2.5 * np.log10(flux), np.nan)


@dataclass(frozen=True, slots=True, kw_only=True)
class PlacedCatalog:
    """Sources of one image, on the detector and on the sky.

    Attributes
    ----------
    detector : str
    x, y : (N,) float arrays
        Pixels, 0-indexed.
    ra, dec : (N,) float arrays
        Where the WCS puts them, degrees.
    pixel_scale : float
        arcsec.
    """

    detector: str
    x: Floats
    y: Floats
    ra: Floats
    dec: Floats
    pixel_scale: float


@dataclass(frozen=True, slots=True, kw_only=True)
class ReferenceCatalog:
    """Stars with known positions, and how these change.

    Attributes
    ----------
    ra, dec : (M,) float arrays
        ICRS positions at `epoch`, degrees.
    weight : (M,) float array or None
        Relative weight in the fit.
    name : str
        Name for messages.
    provenance : str
        Where it came from, in words.
    epoch : (M,) float array or None
        Julian years; None if it is not known, or if the positions are meant as they are.
    motion : (M, 2) float array or None
        Proper motions to the east (with the cosine of the declination) and north, mas per year; NaN where unknown.
    parallax : (M,) float array or None
        mas; NaN where unknown.
    covariance : (M, 5, 5) float array or None
        Of position to the east and north, parallax, and motion to the east and north: mas and mas per year.
    mag : (M,) float array or None
        Magnitudes; NaN where unknown.
    """

    ra: Floats
    dec: Floats
    weight: Floats | None = None
    name: str = "reference catalog"
    provenance: str = ""
    epoch: Floats | None = None
    motion: Floats | None = None
    parallax: Floats | None = None
    covariance: Floats | None = None
    mag: Floats | None = None

    def __len__(self) -> int:
        return len(self.ra)

    def __getitem__(self, index: Bools | Ints) -> ReferenceCatalog:
        columns = ("ra", "dec", "weight", "epoch", "motion", "parallax", "covariance", "mag")
        kept: dict[str, Any] = {name: getattr(self, name) for name in columns}
        kept = {name: value if value is None else value[index] for name, value in kept.items()}
        return replace(self, **kept)

    @property
    def moves(self) -> bool:
        """Whether its stars can be moved to another epoch."""
        return self.epoch is not None and self.motion is not None and bool(np.isfinite(self.motion).any())

    @property
    def variance(self) -> Floats | None:
        """Mean variance of the positions per axis (M,), mas squared; None if there are no errors."""
        if self.covariance is None:
            return None
        return np.asarray((self.covariance[:, 0, 0] + self.covariance[:, 1, 1]) / 2.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Cone:
    """A part of the sky.

    Attributes
    ----------
    ra, dec : float
        Centre, ICRS degrees.
    radius : float
        Degrees.
    """

    ra: float
    dec: float
    radius: float

    def __str__(self) -> str:
        return f"within {self.radius:.4f} degrees of ({self.ra:.6f}, {self.dec:.6f})"

    def contains(self, other: Cone) -> bool:
        """Whether it covers another cone."""
        apart = float(separation(self.ra, self.dec, other.ra, other.dec)) / 3600.0
        return apart + other.radius <= self.radius * (1.0 + 1e-9)


@dataclass(frozen=True, slots=True, kw_only=True)
class Sources:
    """Sources on the common tangent plane: x east, y north, arcsec.

    Attributes
    ----------
    xy : (N, 2) float array
        Positions, arcsec.
    weight : (N,) float array or None
        Relative weight in the fit.
    variance : (N,) float array or None
        Of the positions per axis, arcsec squared, where errors are known.
    name : str
        Name for messages.
    """

    xy: Floats
    weight: Floats | None = None
    variance: Floats | None = None
    name: str = ""

    def __len__(self) -> int:
        return len(self.xy)

    def __getitem__(self, index: Bools | Ints) -> Sources:
        weight, variance = (None if each is None else each[index] for each in (self.weight, self.variance))
        return Sources(xy=self.xy[index], weight=weight, variance=variance, name=self.name)

    def moved(self, affine: Affine) -> Sources:
        """The same sources after a transformation."""
        return replace(self, xy=affine(self.xy))

    @classmethod
    def joined(cls, parts: list[Sources], name: str) -> Sources:
        """All sources of several catalogs; weights and variances only if every non-empty one has them."""
        full = [part for part in parts if len(part)]
        if not full:
            return cls(xy=np.empty((0, 2)), name=name)
        weights = [part.weight for part in full if part.weight is not None]
        weight = np.concatenate(weights) if len(weights) == len(full) else None
        variances = [part.variance for part in full if part.variance is not None]
        variance = np.concatenate(variances) if len(variances) == len(full) else None
        return cls(xy=np.concatenate([part.xy for part in full]), weight=weight, variance=variance, name=name)


@dataclass(frozen=True, slots=True, kw_only=True)
class Image:
    """One image as the alignment sees it: no pixels, no WCS.

    Attributes
    ----------
    name : str
        Name for messages.
    group : str
        Images of one group receive one correction.
    footprint : (V, 2) float array
        Vertices on the common plane, arcsec.
    pixel_scale : float
        arcsec per pixel.
    sources : Sources
        Positions on the common plane.
    """

    name: str
    group: str
    footprint: Floats
    pixel_scale: float
    sources: Sources


@dataclass(frozen=True, slots=True, kw_only=True)
class Affine:
    """``reference = matrix @ image + shift`` on the common plane.

    Attributes
    ----------
    matrix : (2, 2) float array
    shift : (2,) float array
        arcsec.
    """

    matrix: Floats = field(default_factory=lambda: np.eye(2))
    shift: Floats = field(default_factory=lambda: np.zeros(2))

    def __call__(self, xy: Floats) -> Floats:
        return np.asarray(xy @ self.matrix.T + self.shift)

    def after(self, first: Affine) -> Affine:
        """The transformation that applies `first`, then this one."""
        return Affine(matrix=self.matrix @ first.matrix, shift=self.matrix @ first.shift + self.shift)

    @property
    def inverse(self) -> Affine:
        """The transformation back."""
        matrix = np.asarray(np.linalg.inv(self.matrix), dtype=float)
        return Affine(matrix=matrix, shift=-matrix @ self.shift)

    @property
    def is_identity(self) -> bool:
        """Whether it changes nothing at all."""
        return bool(np.array_equal(self.matrix, np.eye(2)) and not self.shift.any())

    @property
    def rotation(self) -> float:
        """Mean rotation of the axes, degrees, from east towards north."""
        (a, b), (c, d) = self.matrix
        return float(np.degrees(np.arctan2(c - b, a + d)))

    @property
    def scale(self) -> float:
        """Geometric mean of the scales of the axes."""
        return float(np.sqrt(abs(np.linalg.det(self.matrix))))

    @property
    def scales(self) -> tuple[float, float]:
        """Scale of each axis: the lengths of the matrix's columns."""
        x, y = np.linalg.norm(self.matrix, axis=0)
        return float(x), float(y)

    @property
    def rotations(self) -> tuple[float, float]:
        """Rotation of each axis, degrees, from east towards north."""
        (a, b), (c, d) = self.matrix
        return float(np.degrees(np.arctan2(c, a))), float(np.degrees(np.arctan2(-b, d)))

    @property
    def skew(self) -> float:
        """Rotation of the y axis minus that of the x axis, degrees, in (-180, 180]."""
        x, y = self.rotations
        return float(180.0 - (180.0 - (y - x)) % 360.0)


def affine_design(xy: Floats) -> Floats:
    """How transformed positions (N, 2) change with (m11, m12, m21, m22, s1, s2): (N, 2, 6)."""
    design = np.zeros((len(xy), 2, 6))
    design[:, 0, 0:2] = design[:, 1, 2:4] = xy
    design[:, 0, 4] = design[:, 1, 5] = 1.0
    return design


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


@dataclass(frozen=True, slots=True, kw_only=True)
class OffsetPeak:
    """The offset image − reference that most pairs share, and where it was sought.

    Attributes
    ----------
    offset : (2,) float array
        arcsec.
    radius : float
        Within which the pairs were counted, arcsec.
    n_pairs : int
        Pairs within `radius` of the offset.
    expected : float
        Of these, by chance.
    rival_share : float
        Excess of pairs of the best other offset, divided by the peak's.
    counts : (B, B) float array
        Most pairs in a box as large as the peak, by offset to the east and north: for plots.
    start : (2,) float array
        The offset in the middle of `counts`, arcsec.
    extent : float
        `counts` reach so far from it, arcsec.
    """

    offset: Floats
    radius: float
    n_pairs: int
    expected: float
    rival_share: float
    counts: Floats
    start: Floats
    extent: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Match:
    """Pairs of an image's sources and the reference's.

    Attributes
    ----------
    image, reference : (K,) int arrays
        Indices into the two catalogs.
    radius : float
        Pairs are no farther apart than this, arcsec.
    image_xy, reference_xy : (K, 2) float arrays
        Their positions on the plane before the fit, arcsec.
    weight : (K,) float array or None
        In the fit.
    expected_false : float
        Number of pairs that chance alone would give within `radius`.
    false_probability : float
        Probability that chance alone gives as many pairs anywhere in the search area.
    """

    image: Ints
    reference: Ints
    image_xy: Floats
    reference_xy: Floats
    weight: Floats | None
    radius: float
    expected_false: float
    false_probability: float

    def __len__(self) -> int:
        return len(self.image)


@dataclass(frozen=True, slots=True, kw_only=True)
class Fit:
    """A transformation fitted to matched stars.

    Attributes
    ----------
    affine : Affine
        ``reference = matrix @ image + shift``.
    covariance : (6, 6) float array
        Of (m11, m12, m21, m22, s1, s2), from the residuals.
    used : (K,) bool array
        Which matches were used; the others were clipped.
    rms, mae : float
        Weighted root mean square and mean of the residuals' lengths, arcsec.
    rms_axes : (2,) float array
        Weighted root mean square of the residuals to the east and north, arcsec.
    geometry : str
        'shift', 'rshift', 'rscale' or 'general'.
    passes : tuple of (int, float)
        Number of stars used and their rms (arcsec) of each clipping pass; the last is the fit.
    """

    affine: Affine
    covariance: Floats
    used: Bools
    rms: float
    rms_axes: Floats
    mae: float
    geometry: str
    passes: tuple[tuple[int, float], ...] = ()

    @property
    def n_used(self) -> int:
        return int(self.used.sum())

    @property
    def n_clipped(self) -> int:
        return int((~self.used).sum())


@dataclass(frozen=True, slots=True, kw_only=True)
class StageResult:
    """How one stage ended for one group.

    Attributes
    ----------
    stage : Stage
    outcome : Outcome
    reference : str
        What the group was matched with.
    match : Match or None
    fit : Fit or None
        Also kept when the fit was refused; only `Alignment.corrections` is applied.
    detail : str
        The numbers behind the outcome.
    peak : OffsetPeak or None
        Result of the search for the offset, if it came so far.
    """

    stage: Stage
    outcome: Outcome
    reference: str = ""
    match: Match | None = None
    fit: Fit | None = None
    detail: str = ""
    peak: OffsetPeak | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Alignment:
    """The result of a run.

    Attributes
    ----------
    plane : TangentPlane
        On which the corrections are defined.
    relative, absolute : mapping of group to StageResult
    corrections : mapping of group to Affine
        What is to be applied; a group that is not listed stays as it is.
    covariances : mapping of group to (6, 6) float array
        Of (m11, m12, m21, m22, s1, s2) of the corrections: relative to the catalog where it
        ties the group, otherwise to the reference group, whose own is 0.
    stars : Sources or None
        Those of the groups that hold together, corrected: the expanded reference catalog.
    reference : ReferenceCatalog or None
        The catalog of the absolute stage, as used.
    """

    plane: TangentPlane
    relative: Mapping[str, StageResult]
    absolute: Mapping[str, StageResult]
    corrections: Mapping[str, Affine]
    covariances: Mapping[str, Floats] = field(default_factory=dict)
    stars: Sources | None = None
    reference: ReferenceCatalog | None = None

    def covariance_at(self, group: str, xy: Floats) -> Floats:
        """Covariance of the corrected places of pixels of a group.

        Parameters
        ----------
        group : str
        xy : (N, 2) float array
            Positions on the plane before the correction, arcsec.

        Returns
        -------
        (N, 2, 2) float array
            arcsec squared, east and north.
        """
        design = affine_design(xy)
        return np.asarray(design @ self.covariances[group] @ design.transpose(0, 2, 1))

    def status(self, group: str) -> Status:
        """The ``cal_step`` of a group."""
        return status(self.relative[group].outcome, self.absolute[group].outcome)
