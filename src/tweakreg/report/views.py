"""What there is to see of a run: records for the plots and the page."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from astropy.table import Table

from tweakreg.plane import Bools, Floats, TangentPlane
from tweakreg.records import Picture, ReferenceCatalog, StageResult, Status
from tweakreg.results.record import ImageRecord


def used_of(matches: Table) -> Bools:
    """Which matches were used in the fit; the others were clipped."""
    return ~np.asarray(matches["clipped"], dtype=bool)


def weights_of(matches: Table) -> Floats:
    """Of each match in the fit; ones where the table has none."""
    return np.asarray(matches["weight"] if "weight" in matches.colnames else np.ones(len(matches)), dtype=float)


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageView:
    """What there is to see of one image in one stage.

    Attributes
    ----------
    name : str
        Of the image.
    result : StageResult
        How the stage ended.
    matches : Table
        Those of this stage, from `tweakreg.report.tables.match_table`.
    x, y : (N,) float arrays
        All sources, pixels.
    picture : Picture or None
        Of its pixels, if it was kept.
    """

    name: str
    result: StageResult
    matches: Table
    x: Floats
    y: Floats
    picture: Picture | None

    @property
    def own(self) -> tuple[int, float] | None:
        """Matches of this image alone that were used, and their rms, mas; None if there are none."""
        used = self.matches[used_of(self.matches)]
        if not len(used):
            return None
        square = np.asarray(used["residual_ra"] ** 2 + used["residual_dec"] ** 2, dtype=float)
        return len(used), float(np.sqrt(np.average(square, weights=weights_of(used))))

    @property
    def note(self) -> str:
        """Why there may be nothing to show."""
        detail = f" ({self.result.detail})" if self.result.detail else ""
        return self.result.outcome.brief + detail


@dataclass(frozen=True, slots=True, kw_only=True)
class Outline:
    """Where an image lay, and where it lies now.

    Attributes
    ----------
    name : str
        Of the image.
    status : Status
        ``meta.cal_step.tweakreg``.
    before, after : (V, 2) float arrays
        Vertices on the common plane, arcsec.
    """

    name: str
    status: Status
    before: Floats
    after: Floats


@dataclass(frozen=True, slots=True, kw_only=True)
class RunView:
    """What there is to see of a run.

    Attributes
    ----------
    name : str
        With which the names of its files begin.
    records : tuple of ImageRecord
        The results of the images.
    outlines : tuple of Outline
        Where they lay and lie, in the same order.
    plane : TangentPlane
        The common plane.
    reference : ReferenceCatalog or None
        The catalog of the absolute stage, as used.
    """

    name: str
    records: tuple[ImageRecord, ...]
    outlines: tuple[Outline, ...]
    plane: TangentPlane
    reference: ReferenceCatalog | None
