"""What a result looks like in a notebook: words, numbers and, where matplotlib is installed, pictures."""

from __future__ import annotations

import html
from collections.abc import Callable, Sequence
from importlib.util import find_spec
from typing import Any

import numpy as np
from astropy.table import Table, vstack

from tweakreg.report import plots
from tweakreg.report.lines import failure_groups, headline, result_line, result_lines
from tweakreg.report.tables import FIT_DIGITS, summary_table
from tweakreg.report.views import ImageView, RunView
from tweakreg.results.record import ImageRecord

#: What of the table of fits is shown.
_SHOWN = (
    "image", "stage", "status", "outcome", "n_matched", "n_used", "rms", "shift_ra", "shift_dec", "rotation_x",
    "scale_x", "error_ra", "error_dec",
)  # fmt: skip


def run_html(run: RunView, matches: Sequence[Table]) -> str:
    """A run: how it ended, the map, the residuals of all images, and the table of fits.

    Parameters
    ----------
    run : RunView
        What there is to see of it.
    matches : sequence of Table
        Those of each image in the stage that decides.
    """
    parts = [_paragraph(headline(run.records)), _list(result_lines(run.records))]
    for failure in failure_groups(run.records)[:3]:
        names = ", ".join(failure.names[:3]) + (" and others" if len(failure.names) > 3 else "")
        parts.append(_paragraph(f"{failure.stage}, {failure.outcome.brief}: {names}. {failure.outcome.remedy}"))
    if find_spec("matplotlib") is not None and run.records:
        with plots.style():
            every = vstack([Table(each) for each in matches], metadata_conflicts="silent")
            figures = [plots.sky_figure(run), plots.plot_residuals(every, note="no image has residuals")]
            parts.append(_side_by_side(figures))
    return "\n".join([*parts, fits_html(run.records)])


def image_html(record: ImageRecord, view: Callable[[Any], ImageView]) -> str:
    """An image: its lines in the log, the plots of the stage that decides, and its rows of the table of fits.

    Parameters
    ----------
    record : ImageRecord
        All numbers.
    view : callable
        What there is to see in a stage.
    """
    parts = [_list([result_line(record.name, stage) for stage in record.asked])]
    if find_spec("matplotlib") is not None:
        with plots.style():
            parts.append(_side_by_side([plots.plot_image(view(record.deciding.stage))]))
    return "\n".join([*parts, fits_html([record])])


def fits_html(records: Sequence[ImageRecord]) -> str:
    """The table of fits, its most telling columns.

    Parameters
    ----------
    records : sequence of ImageRecord
        Of the images.
    """
    table = summary_table(records)
    heads = [f"{name}{f' ({table[name].unit})' if table[name].unit else ''}" for name in _SHOWN]
    rows = [[_cell(row[name], FIT_DIGITS.get(name)) for name in _SHOWN] for row in table]
    head = "".join(f"<th>{html.escape(each)}</th>" for each in heads)
    body = "".join("<tr>" + "".join(f"<td>{html.escape(cell)}</td>" for cell in row) + "</tr>" for row in rows)
    return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"


def _cell(value: Any, digits: str | None) -> str:
    if value is np.ma.masked or (digits is not None and not np.isfinite(value)):
        return "–"
    return str(value) if digits is None else format(value, digits)


def _paragraph(text: str) -> str:
    return f"<p>{html.escape(text)}</p>"


def _list(lines: Sequence[str]) -> str:
    return "<ul>" + "".join(f"<li>{html.escape(line)}</li>" for line in lines) + "</ul>"


def _side_by_side(figures: Sequence[Any]) -> str:
    images = "".join(figure._repr_html_() for figure in figures)
    return f'<div style="display: flex; flex-wrap: wrap; gap: 1em; align-items: flex-start">{images}</div>'
