"""What is written about a run, beside the exposures: tables, corrections, plots and the page."""

from __future__ import annotations

import logging
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from astropy.table import Table

from tweakreg.corrections.change import Correction, Member, write_correction
from tweakreg.errors import OutputError, first_line
from tweakreg.files import staging
from tweakreg.observatory.output import bare_name
from tweakreg.parameters import Config
from tweakreg.pipeline.run import Applied, catalog_file
from tweakreg.progress import progress
from tweakreg.records import Affine, Alignment, Outcome
from tweakreg.reference.table import table_of
from tweakreg.report import page, plots
from tweakreg.report.tables import match_table, reference_table, summary_table
from tweakreg.report.views import ImageView, Outline
from tweakreg.results.keywords import Tree
from tweakreg.wcs.identity import wcs_hash
from tweakreg.workers import quick_collection, share_out

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """A run whose exposures are corrected.

    Attributes
    ----------
    name : str
        With which the names of the files about the whole run begin.
    directory : Path
        Where they are written.
    config : Config
    alignment : Alignment
    done : list of Applied
        From `tweakreg.pipeline.run.apply`.
    """

    name: str
    directory: Path
    config: Config
    alignment: Alignment
    done: list[Applied]

    @property
    def trees(self) -> list[Tree]:
        """The result of each image."""
        return [each.tree for each in self.done]


def save_all(run: Run) -> list[Path]:
    """Write what is asked for.

    Parameters
    ----------
    run : Run

    Returns
    -------
    list of Path
    """
    catalogs = {each.exposure.catalog_name: catalog_file(each.exposure.name, run.config) for each in run.done}
    written = [run.directory / ours for named, ours in catalogs.items() if named == ours]
    written += save_tables(run)
    if run.config.save_correction:
        written += save_corrections(run)
    for wanted, what, save in (
        (run.config.save_plots, "plots", save_plots),
        (run.config.save_report, "report", save_report),
    ):
        if wanted:
            try:
                written += save(run)
            except Exception as error:  # of a picture, whatever it was, nothing else is to suffer
                problem = first_line(error)
                log.error("the %s could not be written: %s", what, problem, exc_info=not isinstance(error, OutputError))
    return written


def save_tables(run: Run) -> list[Path]:
    """Write the tables that are asked for.

    Parameters
    ----------
    run : Run

    Returns
    -------
    list of Path
    """
    tables: dict[str, Table] = {}
    if run.config.save_fit_summary:
        tables[f"{run.name}_fits.ecsv"] = summary_table(run.trees)
    if run.config.save_refcat:
        tables[f"{run.name}_refcat.ecsv"] = reference_table(run.alignment)
    if run.config.save_abs_catalog and run.alignment.reference is not None:
        catalog = run.alignment.reference
        tables[f"fit_{bare_name(catalog.name).lower()}_ref.ecsv"] = table_of(catalog)
    if run.config.save_matches:
        for each in run.done:
            tables[f"{each.exposure.name}_matches.ecsv"] = matches(each, run.alignment)
    if not tables:
        return []
    with staging(run.directory) as temporary:
        for filename, table in tables.items():
            table.write(temporary / filename, format="ascii.ecsv")
    return _said([run.directory / filename for filename in tables])


def save_corrections(run: Run) -> list[Path]:
    """Write a correction file for each group whose WCS was changed.

    Parameters
    ----------
    run : Run

    Returns
    -------
    list of Path
    """
    groups: dict[str, list[Applied]] = {}
    for each in run.done:
        if each.corrected is not each.before.wcs:
            groups.setdefault(each.exposure.group, []).append(each)
    paths: list[Path] = []
    stems: Counter[str] = Counter()
    for group, images in groups.items():
        members = tuple(
            Member(
                name=each.exposure.name,
                detector=each.exposure.detector,
                before=each.before,
                wcs_hash=wcs_hash(each.before.wcs),
                corrected_hash=wcs_hash(each.corrected),
            )
            for each in images
        )
        first = images[0]
        correction = Correction(
            group=group,
            steps=((run.alignment.plane, run.alignment.corrections[group]),),
            members=members,
            result=first.tree,
            wcs_name=str(first.corrected.name or ""),
            history=(f"{first.tree['date']}: made by tweakreg {first.tree['software']['version']}",),
        )
        stem = f"{run.name}_{re.sub(r'[^A-Za-z0-9._-]+', '-', group)}"
        stems[stem] += 1
        number = f"-{stems[stem]}" if stems[stem] > 1 else ""
        paths.append(run.directory / f"{stem}{number}_correction.asdf")
        write_correction(correction, paths[-1])
    return _said(paths)


def save_plots(run: Run) -> list[Path]:
    """Draw a picture per image and stage, and one of the sky.

    Parameters
    ----------
    run : Run

    Returns
    -------
    list of Path
    """
    names = []
    counted = progress(len(run.done), "plots")
    with staging(run.directory) as temporary, plots.style(), quick_collection(), counted as count:
        for each in run.done:
            for view in views(each, run.alignment):
                names.append(f"{view.name}_{view.result.stage.value}.png")
                plots.plot_image(view).savefig(temporary / names[-1], dpi=110)
            count()
        names.append(f"{run.name}_sky.png")
        figure = plots.sky_figure(outlines(run), run.alignment)
        figure.savefig(temporary / names[-1], dpi=110)
    return _said([run.directory / name for name in names])


def save_report(run: Run) -> list[Path]:
    """Write the page about the run.

    Parameters
    ----------
    run : Run

    Returns
    -------
    list of Path
        One.
    """
    path = run.directory / f"{run.name}_report.html"
    tasks = [list(views(each, run.alignment)) for each in run.done]
    with staging(run.directory) as temporary, quick_collection(), progress(len(run.done), "report") as count:

        def drawn() -> Iterator[dict[str, dict[str, str]]]:
            for each in share_out(tasks, _draw, _draw, run.config.workers):
                yield each
                count()

        own = [{view.result.stage.value: view.own for view in seen} for seen in tasks]
        page.write_page(temporary / path.name, run.name, run.trees, own, drawn(), outlines(run), run.alignment)
    return _said([path])


def _draw(seen: list[ImageView]) -> dict[str, dict[str, str]]:
    """Plots of one image for the page; its sources as they were in the last stage that matched some."""
    matched = [view for view in seen if view.result.match is not None] or seen[:1]
    return {view.result.stage.value: page.draw_view(view, sources=view is matched[-1]) for view in seen}


def matches(each: Applied, alignment: Alignment) -> Table:
    """Matched sources of one image in both stages; see `tweakreg.report.tables.match_table`."""
    exposure, (relative, absolute) = each.exposure, each.results
    stages = [(relative, Affine())]
    total = alignment.corrections.get(exposure.group)
    if absolute.fit is not None and total is not None:
        applied = absolute.outcome is Outcome.ALIGNED
        stages.append((absolute, absolute.fit.affine.inverse.after(total) if applied else total))
    xy = alignment.plane.project(exposure.ra, exposure.dec)
    return match_table(exposure.x, exposure.y, exposure.flux, xy, stages, alignment.plane)


def views(each: Applied, alignment: Alignment) -> Iterator[ImageView]:
    """What there is to see of an image in each stage that was asked for."""
    exposure, table = each.exposure, matches(each, alignment)
    for result in each.results:
        if result.outcome is not Outcome.NOT_REQUESTED:
            yield ImageView(
                name=exposure.name,
                result=result,
                matches=plots.of_stage(table, result.stage.value),
                x=exposure.x,
                y=exposure.y,
                picture=exposure.picture,
            )


def outlines(run: Run) -> list[Outline]:
    """Where each image lay and lies."""
    found = []
    for each in run.done:
        before = run.alignment.plane.project(*each.exposure.footprint)
        applied = "correction" in each.tree
        after = run.alignment.corrections[each.exposure.group](before) if applied else before
        found.append(Outline(name=each.exposure.name, status=each.tree["status"], before=before, after=after))
    return found


def _said(paths: list[Path]) -> list[Path]:
    """The same paths, logged: several at once would bury the results under their names."""
    for path in paths[:3]:
        log.info("Wrote %s", path)
    if len(paths) > 3:
        log.info("Wrote %d more such files to %s", len(paths) - 3, paths[0].parent)
    return paths
