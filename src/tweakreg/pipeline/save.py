"""What is written about a run, beside the exposures: catalogs, tables, corrections, plots and the page."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from astropy.table import Table

from tweakreg.corrections.file import write_correction
from tweakreg.corrections.record import Correction, Member
from tweakreg.errors import OutputError, first_line, logger
from tweakreg.files import staging
from tweakreg.find.save import write_catalog
from tweakreg.observatory.names import bare_name
from tweakreg.pipeline.measure import catalog_file
from tweakreg.pipeline.result import ImageResult, Run
from tweakreg.process import quick_collection
from tweakreg.progress import progress
from tweakreg.records import Stage
from tweakreg.reference.table import table_of
from tweakreg.report import page, plots
from tweakreg.report.tables import reference_table, summary_table
from tweakreg.report.views import ImageView
from tweakreg.workers import share_out

log = logger(__name__)

#: Letters of a run and a group in the name of a file, which may have 255 bytes.
_LONGEST = 200


def save_all(run: Run, directory: Path) -> list[Path]:
    """Write what is asked for.

    Parameters
    ----------
    run : Run
        Its parameters say what.
    directory : Path
        Where it goes.

    Returns
    -------
    list of Path
        What was written.
    """
    config = run.config
    written = save_catalogs(run, directory) if config.save_catalogs else []
    written += save_tables(run, directory)
    if config.save_correction:
        written += save_corrections(run, directory)
    for wanted, what, save in (
        (config.save_plots, "plots", save_plots),
        (config.save_report, "report", save_report),
    ):
        if wanted:
            try:
                written += save(run, directory)
            except Exception as error:  # of a picture, whatever it was, nothing else is to suffer
                problem = first_line(error)
                log.error("the %s could not be written: %s", what, problem, exc_info=not isinstance(error, OutputError))
    return written


def save_catalogs(run: Run, directory: Path) -> list[Path]:
    """Write the sources that were found, and those that the finder's limits rejected; arguments as for `save_all`."""
    names: list[str] = []
    with staging(directory) as temporary:
        for each in run.images:
            found = run.found.get(each.name)
            if found is None:
                continue
            name = catalog_file(each.name, run.config)
            files = {name: found}
            if found.rejected is not None and len(found.rejected):
                files[name.replace("_cat.", "_rejected.")] = found.rejected
            for filename, catalog in files.items():
                write_catalog(each.moved(catalog), temporary / filename)
            names += files
    return _told([directory / name for name in names])


def save_tables(run: Run, directory: Path) -> list[Path]:
    """Write the tables that are asked for; arguments and result as for `save_all`."""
    tables: dict[str, Table] = {}
    if run.config.save_fit_summary:
        tables[f"{run.name}_fits.ecsv"] = summary_table(run.records)
    if run.config.save_refcat:
        tables[f"{run.name}_refcat.ecsv"] = reference_table(run.alignment)
    if run.config.save_abs_catalog and run.alignment.reference is not None:
        catalog = run.alignment.reference
        tables[f"fit_{bare_name(catalog.name).lower()}_ref.ecsv"] = table_of(catalog)
    if run.config.save_matches:
        for each in run.images:
            tables[f"{each.name}_matches.ecsv"] = each.match_table
    if not tables:
        return []
    with staging(directory) as temporary:
        for filename, table in tables.items():
            table.write(temporary / filename, format="ascii.ecsv")
    return _told([directory / filename for filename in tables])


def save_corrections(run: Run, directory: Path) -> list[Path]:
    """Write a correction file for each group whose WCS was changed; arguments and result as for `save_all`."""
    groups: dict[str, list[ImageResult]] = {}
    for each in run.images:
        if each.change is not None:
            groups.setdefault(each.exposure.key, []).append(each)
    names: list[str] = []
    stems: Counter[str] = Counter()
    with staging(directory) as temporary:
        for group, images in groups.items():
            stem = f"{run.name}_{re.sub(r'[^A-Za-z0-9._-]+', '-', group)}"[:_LONGEST]
            stems[stem] += 1
            number = f"-{stems[stem]}" if stems[stem] > 1 else ""
            names.append(f"{stem}{number}_correction.asdf")
            write_correction(_correction(group, images, run), temporary / names[-1])
    return _told([directory / name for name in names])


def _correction(group: str, images: list[ImageResult], run: Run) -> Correction:
    """What was done to the images of a group."""
    members = tuple(
        Member(
            name=each.name,
            detector=each.exposure.detector,
            before=each.change.before,
            wcs_hash=each.change.before_identity,
            corrected_hash=each.change.after_identity,
        )
        for each in images
        if each.change is not None and each.change.before is not None
    )
    first = images[0]
    assert first.change is not None
    return Correction(
        group=group,
        steps=((run.alignment.plane, run.alignment.corrections[group]),),
        members=members,
        result=first.record,
        wcs_name=first.change.wcs_name,
        history=(f"{first.record.date}: made by tweakreg {first.record.software}",),
    )


def save_plots(run: Run, directory: Path) -> list[Path]:
    """Draw a picture per image and stage, and one of the sky; arguments and result as for `save_all`."""
    names = []
    counted = progress(len(run.images), "plots")
    with staging(directory) as temporary, plots.style(), quick_collection(), counted as count:
        for each in run.images:
            for view in each.views:
                names.append(f"{view.name}_{view.result.stage.value}.png")
                plots.plot_image(view).savefig(temporary / names[-1], dpi=110)
            count()
        names.append(f"{run.name}_sky.png")
        plots.sky_figure(run.view).savefig(temporary / names[-1], dpi=110)
    return _told([directory / name for name in names])


def save_report(run: Run, directory: Path) -> list[Path]:
    """Write the page about the run; arguments and result as for `save_all`."""
    path = directory / f"{run.name}_report.html"
    # What asks to be looked at comes first.
    run = replace(run, images=tuple(sorted(run.images, key=lambda each: not each.record.flagged)))
    tasks = [list(each.views) for each in run.images]
    with staging(directory) as temporary, quick_collection(), progress(len(run.images), "report") as count:

        def drawn() -> Iterator[dict[Stage, dict[str, str]]]:
            for each in share_out(tasks, _draw, _draw, run.config.workers):
                yield each
                count()

        own = [{view.result.stage: view.own for view in seen} for seen in tasks]
        page.write_page(temporary / path.name, run.view, own, drawn())
    return _told([path])


def _draw(seen: list[ImageView]) -> dict[Stage, dict[str, str]]:
    """Plots of one image for the page; its sources as they were in the last stage that matched some."""
    matched = [view for view in seen if view.result.match is not None] or seen[:1]
    return {view.result.stage: page.draw_view(view, sources=view is matched[-1]) for view in seen}


def _told(paths: list[Path]) -> list[Path]:
    """The same paths, logged: several at once would bury the results under their names."""
    for path in paths[:3]:
        log.info("Wrote %s", path)
    if len(paths) > 3:
        log.info("Wrote %d more such files to %s", len(paths) - 3, paths[0].parent)
    return paths
