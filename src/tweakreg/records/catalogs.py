"""Sources and stars: in pixels, on the sky and on the plane."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from tweakreg.plane import Bools, Floats, Ints
from tweakreg.records.geometry import Affine
from tweakreg.records.outcomes import Outcome


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
    note : str
        Why there are so few, where that is known.
    measures : mapping of str to (N,) array
        What a finder measured besides: sharpness, roundness, peak, snr, as it has them; of rejected sources also
        ``rejected_by``, the parameters that did it.
    rejected : SourceCatalog or None
        What a finder's limits rejected.
    """

    x: Floats
    y: Floats
    flux: Floats
    weight: Floats | None = None
    name: str = ""
    note: str = ""
    measures: Mapping[str, Any] = field(default_factory=dict)
    rejected: SourceCatalog | None = None

    def __len__(self) -> int:
        return len(self.x)

    def __getitem__(self, index: Bools | Ints) -> SourceCatalog:
        weight = None if self.weight is None else self.weight[index]
        measures = {name: values[index] for name, values in self.measures.items()}
        return replace(self, x=self.x[index], y=self.y[index], flux=self.flux[index], weight=weight, measures=measures)

    @classmethod
    def empty(cls, name: str = "", note: str = "") -> SourceCatalog:
        """A catalog without sources, and why there are none."""
        none = np.empty(0)
        return cls(x=none, y=none, flux=none, name=name, note=note)


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
        On which they were seen.
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
class EpochCatalog:
    """The reference catalog where some groups saw it.

    Attributes
    ----------
    groups : tuple of str
        Those of one epoch.
    epoch : float
        Their mean epoch, Julian years; NaN where no exposure says when it was taken.
    sources : Sources
        The stars at that epoch, on the common plane.
    """

    groups: tuple[str, ...]
    epoch: float
    sources: Sources


@dataclass(frozen=True, slots=True, kw_only=True)
class PlaneCatalog:
    """The reference catalog on the common plane, or why there is none.

    Attributes
    ----------
    sources : Sources or None
        The stars at the mean epoch of the exposures; None if they could not be had.
    epochs : tuple of EpochCatalog
        The stars at the epoch of each group, where they move; each group is in one of them. Empty where they do not.
    problem : str
        Why there are no stars; empty if there are.
    outcome : Outcome
        How an absolute stage ends that has no stars.
    """

    sources: Sources | None
    epochs: tuple[EpochCatalog, ...] = ()
    problem: str = ""
    outcome: Outcome = Outcome.NO_REFERENCE


@dataclass(frozen=True, slots=True, kw_only=True)
class PlaneImage:
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
    tied_as : str
        Images with this name in common are tied to the reference catalog together; empty for those of the group.
    """

    name: str
    group: str
    footprint: Floats
    pixel_scale: float
    sources: Sources
    tied_as: str = ""
