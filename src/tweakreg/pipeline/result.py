"""What a run found out: a record per image with its sources, and what there is to see of it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from astropy.table import QTable, Table

from tweakreg.observatory.exposure import ExposureImage, ExposureState
from tweakreg.parameters import Config
from tweakreg.records import Affine, Alignment, Outcome, SourceCatalog, Stage, StageResult
from tweakreg.report import plots
from tweakreg.report.lines import result_line
from tweakreg.report.tables import MATCH_DIGITS, match_table, shown
from tweakreg.report.views import ImageView, Outline, RunView, used_of
from tweakreg.results.record import ImageRecord


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """What was done to an exposure.

    Attributes
    ----------
    before : ExposureState or None
        WCS, status and result as they were; kept for a correction that is to be saved.
    before_identity, after_identity : str
        Tell the old and the new WCS from others; see `tweakreg.observatory.exposure.OpenImage`.
    wcs_name : str
        Name of the new WCS.
    """

    before: ExposureState | None
    before_identity: str
    after_identity: str
    wcs_name: str


@dataclass(frozen=True, slots=True, kw_only=True, repr=False, eq=False)
class ImageResult:
    """How one image was aligned, with its sources and plots; in a notebook it shows itself.

    Attributes
    ----------
    record : ImageRecord
        All numbers.
    exposure : ExposureImage
        The image and its sources.
    relative, absolute : StageResult
        The two stages with their matches.
    total : Affine or None
        Correction of its group, both stages together; None if none was found.
    change : Change or None
        What was done to the exposure; None if nothing was.
    """

    record: ImageRecord
    exposure: ExposureImage
    relative: StageResult
    absolute: StageResult
    total: Affine | None
    change: Change | None

    @property
    def name(self) -> str:
        """File name without folder and ending."""
        return self.record.name

    @property
    def stages(self) -> tuple[StageResult, StageResult]:
        """Relative and absolute."""
        return self.relative, self.absolute

    def moved(self, catalog: SourceCatalog) -> SourceCatalog:
        """The same sources where the image has them after the alignment.

        Parameters
        ----------
        catalog : SourceCatalog
            Its measures have ``ra`` and ``dec`` of before, degrees.
        """
        if self.record.correction is None or self.total is None:
            return catalog
        plane = self.record.plane
        ra, dec = plane.deproject(self.total(plane.project(catalog.measures["ra"], catalog.measures["dec"])))
        return replace(catalog, measures={**catalog.measures, "ra": ra, "dec": dec})

    @property
    def match_table(self) -> Table:
        """Matched sources in both stages; see `tweakreg.report.tables.match_table`."""
        stages = [(self.relative, Affine())]
        if self.absolute.fit is not None and self.total is not None:
            applied = self.absolute.outcome is Outcome.ALIGNED
            before = self.absolute.fit.affine.inverse.after(self.total) if applied else self.total
            stages.append((self.absolute, before))
        plane = self.record.plane
        xy = plane.project(self.exposure.ra, self.exposure.dec)
        return match_table(self.exposure.catalog, xy, stages, plane)

    @property
    def matches(self) -> QTable:
        """Matched sources in both stages, with units and descriptions; column ``stage`` tells them apart."""
        return shown(self.match_table, MATCH_DIGITS)

    @property
    def residuals(self) -> Any:
        """Residuals to the east and north, (K, 2) Quantity: reference minus image, pairs used in the deciding stage."""
        table = QTable(plots.of_stage(self.match_table, self.record.deciding.stage.value))
        table = table[used_of(table)]
        return np.stack([table["residual_ra"], table["residual_dec"]], axis=-1)

    @property
    def views(self) -> Iterator[ImageView]:
        """What there is to see in each stage that was asked for."""
        table = self.match_table
        for stage in self.stages:
            if stage.outcome.requested:
                yield ImageView(
                    name=self.name,
                    result=stage,
                    matches=plots.of_stage(table, stage.stage.value),
                    x=self.exposure.x,
                    y=self.exposure.y,
                    picture=self.exposure.picture,
                )

    @property
    def outline(self) -> Outline:
        """Where the image lay and lies."""
        before = self.record.plane.project(*self.exposure.footprint)
        after = before if self.record.correction is None or self.total is None else self.total(before)
        return Outline(name=self.name, status=self.record.status, before=before, after=after)

    def view(self, stage: Stage | str | None = None) -> ImageView:
        """What there is to see in a stage.

        Parameters
        ----------
        stage : Stage or str, optional
            'relative' or 'absolute'; by default the one that decides.

        Raises
        ------
        ValueError
            The stage was not asked for.
        """
        wanted = self.record.deciding.stage if stage is None else Stage(stage)
        for view in self.views:
            if view.result.stage is wanted:
                return view
        raise ValueError(f"the {wanted.value} stage was not asked for: set abs_refcat, or catalog in tweakreg.align")

    def plot(self, stage: Stage | str | None = None) -> Any:
        """All plots of a stage, side by side: a Figure; `stage` as for `view`."""
        with plots.style():
            return plots.plot_image(self.view(stage))

    def plot_residuals(self, stage: Stage | str | None = None) -> Any:
        """Residuals against x and y of the detector: a Figure; `stage` as for `view`."""
        view = self.view(stage)
        with plots.style():
            return plots.plot_residuals(view.matches, note=view.note)

    def plot_vectors(self, stage: Stage | str | None = None, *, cells: int | None = None) -> Any:
        """Residuals as arrows on the sky, or means in `cells` by `cells` cells: a Figure; `stage` as for `view`."""
        view = self.view(stage)
        with plots.style():
            return plots.plot_vectors(view.matches, note=view.note, cells=cells).figure

    def slopes(self, stage: Stage | str | None = None) -> Table:
        """Slopes of the residuals over the detector; see `tweakreg.report.plots.slopes`, and `view` for `stage`."""
        return plots.slopes(self.view(stage).matches)

    def __repr__(self) -> str:
        deciding = self.record.deciding
        return f"<ImageResult {self.record.status.value}: {result_line(self.name, deciding)}>"

    def _repr_html_(self) -> str:
        from tweakreg.report.notebook import image_html

        return image_html(self.record, self.view)


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """A run whose exposures are corrected, as it is written and shown.

    Attributes
    ----------
    name : str
        With which the names of the files about the whole run begin.
    config : Config
        All parameters.
    alignment : Alignment
        What was found.
    images : tuple of ImageResult
        What became of each exposure, in the order of the library.
    found : dict of str to SourceCatalog
        The sources that were found, by the name of the image.
    """

    name: str
    config: Config
    alignment: Alignment
    images: tuple[ImageResult, ...]
    found: dict[str, SourceCatalog]

    @property
    def records(self) -> tuple[ImageRecord, ...]:
        """The result of each image."""
        return tuple(each.record for each in self.images)

    @property
    def view(self) -> RunView:
        """What there is to see of it."""
        return RunView(
            name=self.name,
            records=self.records,
            outlines=tuple(each.outline for each in self.images),
            plane=self.alignment.plane,
            reference=self.alignment.reference,
        )
