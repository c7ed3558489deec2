"""What an alignment found."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from tweakreg.plane import Bools, Floats, Ints, TangentPlane
from tweakreg.records.catalogs import ReferenceCatalog, Sources
from tweakreg.records.geometry import Affine, affine_design
from tweakreg.records.outcomes import Detail, Outcome, Stage, Status, status


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
    counts : (B, B) uint16 array
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
    counts: NDArray[np.uint16]
    start: Floats
    extent: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Match:
    """Pairs of an image's sources and the reference's.

    Attributes
    ----------
    image_index, reference_index : (K,) int arrays
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

    image_index: Ints
    reference_index: Ints
    image_xy: Floats
    reference_xy: Floats
    weight: Floats | None
    radius: float
    expected_false: float
    false_probability: float

    def __len__(self) -> int:
        return len(self.image_index)


@dataclass(frozen=True, slots=True, kw_only=True)
class FitQuality:
    """How well a WCS was fitted, as files of the missions have it.

    Attributes
    ----------
    catalog : str
        To which it is tied; empty where it is tied to other exposures alone.
    geometry : str
        'shift', 'rshift', 'rscale' or 'general'.
    correction : Affine
        What was done to the WCS, both stages together.
    plane : TangentPlane
        Of the correction.
    n_used : int
        Pairs.
    rms, mae, rms_ra, rms_dec : float
        Of the residuals, mas.
    """

    catalog: str
    geometry: str
    correction: Affine
    plane: TangentPlane
    n_used: int
    rms: float
    mae: float
    rms_ra: float
    rms_dec: float


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
        Which one.
    outcome : Outcome
        How it ended.
    matched_with : str
        What the group was matched with.
    match : Match or None
        The pairs, if it came so far.
    fit : Fit or None
        Also kept when the fit was refused; only `Alignment.corrections` is applied.
    detail : Detail
        The numbers behind the outcome.
    peak : OffsetPeak or None
        Result of the search for the offset, if it came so far.
    """

    stage: Stage
    outcome: Outcome
    matched_with: str = ""
    match: Match | None = None
    fit: Fit | None = None
    detail: Detail = field(default_factory=Detail)
    peak: OffsetPeak | None = None


#: The term of an image that has no pattern itself, but others of its group.
GROUP = "group"


@dataclass(frozen=True, slots=True, kw_only=True)
class Pattern:
    """What the residuals of an image have beyond noise.

    Attributes
    ----------
    variance : (2,) float array
        Mean square to the east and north, arcsec squared.
    term : str
        What explains most of it: 'shift', 'scale and rotation' or 'distortion'; 'group' if it is in other images of the
        group, whose correction is one.
    probability : float
        That noise alone does the same.
    """

    variance: Floats
    term: str
    probability: float

    @property
    def size(self) -> float:
        """Root mean square per axis, arcsec."""
        return float(np.sqrt(self.variance.mean()))


@dataclass(frozen=True, slots=True, kw_only=True)
class Alignment:
    """The result of a run.

    Attributes
    ----------
    plane : TangentPlane
        On which the corrections are defined.
    relative, absolute : mapping of group to StageResult
        How the stages ended.
    corrections : mapping of group to Affine
        What is to be applied; a group that is not listed stays as it is.
    covariances : mapping of group to (6, 6) float array
        Of (m11, m12, m21, m22, s1, s2) of the corrections: relative to the catalog where it
        ties the group, otherwise to the reference group, whose own is 0.
    stars : Sources or None
        Those of the groups that hold together, corrected: the expanded reference catalog.
    reference : ReferenceCatalog or None
        The catalog of the absolute stage, as used.
    patterns : mapping of (group, image) to Pattern
        Those that the residuals of an image have; they are in its stated errors.
    before_tie : mapping of group to (Affine, (6, 6) float array)
        Relative corrections and covariances of the groups that the catalog ties.
    """

    plane: TangentPlane
    relative: Mapping[str, StageResult]
    absolute: Mapping[str, StageResult]
    corrections: Mapping[str, Affine]
    covariances: Mapping[str, Floats] = field(default_factory=dict)
    stars: Sources | None = None
    reference: ReferenceCatalog | None = None
    patterns: Mapping[tuple[str, str], Pattern] = field(default_factory=dict)
    before_tie: Mapping[str, tuple[Affine, Floats]] = field(default_factory=dict)

    def covariance_at(self, group: str, xy: Floats, image: str | None = None) -> Floats:
        """Covariance of the corrected places of pixels of a group.

        Parameters
        ----------
        group : str
            Whose correction is meant.
        xy : (N, 2) float array
            Positions on the plane before the correction, arcsec.
        image : str, optional
            Of the group, for the pattern in its residuals; without it the mean of the patterns of the group's images.

        Returns
        -------
        (N, 2, 2) float array
            arcsec squared, east and north.
        """
        design = affine_design(xy)
        known = [each.variance for (of, name), each in self.patterns.items() if of == group and image in (None, name)]
        pattern = np.diag(np.mean(known, axis=0)) if known else 0.0
        return np.asarray(design @ self.covariances[group] @ design.transpose(0, 2, 1) + pattern)

    def status(self, group: str) -> Status:
        """The ``cal_step`` of a group."""
        return status(self.relative[group].outcome, self.absolute[group].outcome)
