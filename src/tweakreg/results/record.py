"""The result of a run for one image, in the units in which it is told: mas and degrees."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from importlib.metadata import version
from typing import Any

import numpy as np

from tweakreg.observatory.exposure import ExposureImage
from tweakreg.parameters import Config
from tweakreg.plane import MAS_PER_ARCSEC, Floats, TangentPlane
from tweakreg.records import (
    Affine,
    Alignment,
    Detail,
    FitQuality,
    Outcome,
    Stage,
    StageResult,
    Status,
    for_stage,
    status,
)

#: Covariances are of (m11, m12, m21, m22, s1, s2), the shift in mas.
_TO_MAS = np.array([1.0, 1.0, 1.0, 1.0, MAS_PER_ARCSEC, MAS_PER_ARCSEC])

Pair = tuple[float, float]
Covariance = tuple[tuple[float, ...], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Origins:
    """Every parameter of a run and where its value came from.

    Attributes
    ----------
    parameters : mapping of name to (value, origin)
        The origin is 'default', 'reference file ...', 'parameter file ...', 'command line or keyword' (of the step),
        'keyword' (of `tweakreg.align`) or 'attribute'.
    """

    parameters: Mapping[str, tuple[Any, str]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Transformation:
    """``reference = matrix · image + shift`` on the common plane, in the units of results.

    Attributes
    ----------
    matrix : ((float, float), (float, float))
        Rows of the matrix.
    shift : (float, float)
        To the east and north, mas.
    rotation, scale : (float, float)
        Of each axis; degrees from east towards north, and the lengths of the matrix's columns.
    skew : float
        Rotation of the y axis minus that of the x axis, degrees.
    covariance : 6 rows of 6 numbers
        Of (m11, m12, m21, m22, shift east, shift north).
    """

    matrix: tuple[Pair, Pair]
    shift: Pair
    rotation: Pair
    scale: Pair
    skew: float
    covariance: Covariance

    @property
    def turn(self) -> float:
        """Mean rotation of the axes, degrees, from east towards north."""
        return self.affine.rotation

    @property
    def affine(self) -> Affine:
        """As arithmetic needs it, the shift in arcsec."""
        return Affine(matrix=np.array(self.matrix), shift=np.array(self.shift) / MAS_PER_ARCSEC)

    @classmethod
    def of(cls, affine: Affine, covariance: Floats) -> Transformation:
        """The same as an `Affine` and its covariance (6, 6), whose shift is in arcsec."""
        (a, b), (c, d) = affine.matrix.tolist()
        return cls(
            matrix=((a, b), (c, d)),
            shift=_pair(affine.shift * MAS_PER_ARCSEC),
            rotation=affine.rotations,
            scale=affine.scales,
            skew=affine.skew,
            covariance=tuple(map(tuple, (covariance * _TO_MAS[:, None] * _TO_MAS).tolist())),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class FitRecord:
    """A fit in numbers.

    Attributes
    ----------
    geometry : str
        'shift', 'rshift', 'rscale' or 'general'.
    transformation : Transformation
        What was fitted.
    rms, mae : float
        Root mean square and mean of the lengths of the residuals, mas.
    rms_ra, rms_dec : float
        Root mean square of the residuals to the east and north, mas.
    n_matched, n_used, n_clipped : int
        Numbers of pairs.
    match_radius : float
        Pairs are no farther apart than this, mas.
    false_probability : float
        Probability that chance alone gives as many pairs.
    """

    geometry: str
    transformation: Transformation
    rms: float
    mae: float
    rms_ra: float
    rms_dec: float
    n_matched: int
    n_used: int
    n_clipped: int
    match_radius: float
    false_probability: float


@dataclass(frozen=True, slots=True, kw_only=True)
class StageRecord:
    """How a stage ended for an image.

    Attributes
    ----------
    stage : Stage
        Which one.
    outcome : Outcome
        How it ended.
    detail : str
        The numbers behind the outcome, in words; empty for none.
    numbers : mapping of str to float
        The same numbers by name.
    matched_with : str
        Group or catalog; empty for none.
    fit : FitRecord or None
        Also of a fit that was refused.
    """

    stage: Stage
    outcome: Outcome
    detail: str = ""
    numbers: Mapping[str, float] = field(default_factory=dict)
    matched_with: str = ""
    fit: FitRecord | None = None

    @classmethod
    def of(cls, result: StageResult) -> StageRecord:
        """The same of a `StageResult`, without its sources."""
        numbers = {name: float(value) for name, value in result.detail.numbers.items()}
        fit, match, made = result.fit, result.match, None
        if fit is not None and match is not None:
            east, north = _pair(fit.rms_axes * MAS_PER_ARCSEC)
            made = FitRecord(
                geometry=fit.geometry,
                transformation=Transformation.of(fit.affine, fit.covariance),
                rms=fit.rms * MAS_PER_ARCSEC,
                mae=fit.mae * MAS_PER_ARCSEC,
                rms_ra=east,
                rms_dec=north,
                n_matched=len(match),
                n_used=fit.n_used,
                n_clipped=fit.n_clipped,
                match_radius=match.radius * MAS_PER_ARCSEC,
                false_probability=match.false_probability,
            )
        return cls(
            stage=result.stage,
            outcome=result.outcome,
            detail=str(result.detail),
            numbers=numbers,
            matched_with=result.matched_with,
            fit=made,
        )

    @property
    def reason(self) -> str:
        """What happened, with the numbers behind it."""
        return for_stage(self.outcome.sentence, self.stage) + (f" ({self.detail})" if self.detail else "")

    @property
    def aligned(self) -> FitRecord | None:
        """The fit, if it was believed."""
        return self.fit if self.outcome is Outcome.ALIGNED else None


@dataclass(frozen=True, slots=True, kw_only=True)
class StatedError:
    """Standard errors of a corrected WCS to the east and north, mas.

    Attributes
    ----------
    centre : (float, float)
        In the middle of the image.
    corners : 4 of (float, float)
        At its corners, counter-clockwise in pixels from the lower left one.
    relative_to : str
        'catalog' or 'reference image'.
    shared : float
        Relative to the reference image: what all exposures have in common, as places of the detectors and distortion,
        none of them can see, and it is not in the errors; it is typically as large as this, mas. NaN where that is not
        known either; 0 relative to the catalog, which sees it.
    """

    centre: Pair
    corners: tuple[Pair, ...]
    relative_to: str
    shared: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class PatternRecord:
    """What the residuals of an image have beyond noise; it is in the stated error.

    Attributes
    ----------
    size : float
        Root mean square per axis, mas.
    term : str
        What explains most of it: 'shift', 'scale and rotation' or 'distortion'.
    probability : float
        That noise alone does the same.
    """

    size: float
    term: str
    probability: float


@dataclass(frozen=True, slots=True, kw_only=True)
class ReferenceRecord:
    """The catalog of the absolute stage.

    Attributes
    ----------
    name : str
        Of the file or service.
    sources : int
        How many stars it gave.
    provenance : str
        Where they came from, in words.
    """

    name: str
    sources: int
    provenance: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageRecord:
    """All that is told of how an image was aligned.

    Attributes
    ----------
    name : str
        File name without folder and ending.
    group : str
        Images of one group receive one correction.
    epoch : float
        Middle of the exposure, decimal year; NaN if unknown.
    status : Status
        ``meta.cal_step.tweakreg``.
    dry_run : bool
        Whether the WCS was left as it was.
    composed : bool
        Whether the WCS had been corrected before this run.
    plane : TangentPlane
        On which transformations are defined.
    relative, absolute : StageRecord
        How the stages ended.
    correction : Transformation or None
        What was done to the WCS, both stages together; None where nothing is known to be right.
    stated_error : StatedError or None
        Of the corrected WCS; None without a correction.
    pattern : PatternRecord or None
        What the residuals have beyond noise, if that is significant.
    reference : ReferenceRecord or None
        The catalog of the absolute stage, if there was one.
    origins : Origins
        Every parameter and where it came from.
    date : str
        When the run was made, UTC.
    software : str
        Version of this package.
    """

    name: str
    group: str
    epoch: float
    status: Status
    dry_run: bool
    composed: bool
    plane: TangentPlane
    relative: StageRecord
    absolute: StageRecord
    correction: Transformation | None = None
    stated_error: StatedError | None = None
    pattern: PatternRecord | None = None
    reference: ReferenceRecord | None = None
    origins: Origins = field(default_factory=Origins)
    date: str = field(default_factory=lambda: datetime.now(UTC).isoformat(timespec="seconds"))
    software: str = field(default_factory=lambda: version("tweakreg"))

    @property
    def stages(self) -> tuple[StageRecord, StageRecord]:
        """Relative and absolute."""
        return self.relative, self.absolute

    @property
    def asked(self) -> Iterator[StageRecord]:
        """The stages that were asked for."""
        return (each for each in self.stages if each.outcome.requested)

    @property
    def complete(self) -> bool:
        """Whether everything that was asked for worked."""
        return self.status is Status.COMPLETE

    @property
    def flagged(self) -> bool:
        """Whether it asks to be looked at: it is not complete, or its residuals have a pattern."""
        return not self.complete or self.pattern is not None

    @property
    def deciding(self) -> StageRecord:
        """The absolute stage where that aligned the image, otherwise the relative one."""
        return self.absolute if self.absolute.aligned else self.relative

    @property
    def failure(self) -> StageRecord | None:
        """The stage that keeps it from being COMPLETE: the first that went wrong, if its outcome can be helped."""
        if self.complete:
            return None
        bad = [each for each in self.asked if not each.outcome.succeeded]
        return ([each for each in bad if not each.outcome.catalog_replaces] or bad)[0]


def image_record(
    exposure: ExposureImage,
    results: tuple[StageResult, StageResult],
    alignment: Alignment,
    origins: Origins,
    config: Config,
) -> ImageRecord:
    """All that is known of how an image was aligned.

    Parameters
    ----------
    exposure : ExposureImage
        The image.
    results : (StageResult, StageResult)
        How the relative and the absolute stage ended for it.
    alignment : Alignment
        Of all images.
    origins : Origins
        Every parameter of the run.
    config : Config
        Whether its WCS is left as it is or an earlier correction taken out, and what failures are called.
    """
    found = status(*(each.outcome for each in results))
    reference = alignment.reference
    pattern = alignment.patterns.get((exposure.key, exposure.name))
    correction = error = None
    # The only exposure, or one that no other could be aligned to, has a place but nothing that says how good it is.
    if exposure.key in alignment.corrections and any(each.outcome.succeeded for each in results):
        covariance = alignment.covariances[exposure.key]
        correction = Transformation.of(alignment.corrections[exposure.key], covariance)
        to = "catalog" if results[1].outcome is Outcome.ALIGNED else "reference image"
        error = _stated_error(exposure, alignment, to)
    return ImageRecord(
        name=exposure.name,
        group=exposure.group,
        epoch=exposure.epoch,
        status=Status.SKIPPED if found is Status.FAILED and config.on_failure == "skip" else found,
        dry_run=config.dry_run,
        composed=exposure.corrected and not config.restart,
        plane=alignment.plane,
        relative=StageRecord.of(results[0]),
        absolute=StageRecord.of(results[1]),
        correction=correction,
        stated_error=error,
        pattern=None
        if pattern is None
        else PatternRecord(size=pattern.size * MAS_PER_ARCSEC, term=pattern.term, probability=pattern.probability),
        reference=None
        if reference is None
        else ReferenceRecord(name=reference.name, sources=len(reference), provenance=reference.provenance),
        origins=origins,
    )


def _stated_error(exposure: ExposureImage, alignment: Alignment, relative_to: str) -> StatedError:
    corners = alignment.plane.project(*exposure.footprint)[:: len(exposure.footprint[0]) // 4]
    places = np.vstack([corners.mean(axis=0), corners])
    variance = np.diagonal(alignment.covariance_at(exposure.key, places, exposure.name), axis1=1, axis2=2)
    centre, *others = map(_pair, np.sqrt(np.maximum(variance, 0.0)) * MAS_PER_ARCSEC)
    shared = 0.0 if relative_to == "catalog" else exposure.shared_error
    return StatedError(centre=centre, corners=tuple(others), relative_to=relative_to, shared=shared)


def not_alignable(exposure: ExposureImage, *, absolute: bool) -> tuple[StageResult, StageResult]:
    """How both stages end for an image that cannot be aligned.

    Parameters
    ----------
    exposure : ExposureImage
        It says why.
    absolute : bool
        Whether the absolute stage was asked for.
    """
    why = Detail(exposure.problem)
    ended = StageResult(stage=Stage.RELATIVE, outcome=exposure.refused_as, detail=why)
    outcome = exposure.refused_as if absolute else Outcome.NOT_REQUESTED
    return ended, StageResult(stage=Stage.ABSOLUTE, outcome=outcome, detail=why)


def _pair(values: Floats) -> Pair:
    east, north = values.tolist()
    return east, north


#: Keywords that `keywords` may give; an earlier alignment's are removed.
KEYWORDS = ("WCSNAME", "NMATCHES", "RMS_RA", "RMS_DEC", "FITGEOM")


def fit_quality(record: ImageRecord) -> FitQuality | None:
    """How well the WCS of an image was fitted; None where it was not."""
    fit, done = record.deciding.aligned, record.correction
    if fit is None or done is None:
        return None
    tied = record.deciding.stage is Stage.ABSOLUTE
    return FitQuality(
        catalog=record.deciding.matched_with if tied else "",
        geometry=fit.geometry,
        correction=done.affine,
        plane=record.plane,
        n_used=fit.n_used,
        rms=fit.rms,
        mae=fit.mae,
        rms_ra=fit.rms_ra,
        rms_dec=fit.rms_dec,
    )


def keywords(record: ImageRecord | None, wcs_name: str) -> list[list[Any]]:
    """FITS keywords of a result as (keyword, value, comment); those of the fit only where there was one.

    Parameters
    ----------
    record : ImageRecord or None
        None where there is no result.
    wcs_name : str
        Name of the WCS; empty for none.
    """
    if record is None:
        return []
    fit = record.deciding.aligned
    name = "".join(letter if " " <= letter <= "~" else "?" for letter in wcs_name)  # what a header can hold
    cards: list[list[Any]] = [["WCSNAME", name, "name of the WCS"]] if name else []
    if fit is not None:
        cards += [
            ["NMATCHES", fit.n_used, "sources used in the fit"],
            ["RMS_RA", fit.rms_ra, "[mas] rms of the residuals to the east"],
            ["RMS_DEC", fit.rms_dec, "[mas] rms of the residuals to the north"],
            ["FITGEOM", fit.geometry, "what was fitted"],
        ]
    return cards
