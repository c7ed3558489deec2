"""One page about a run: a self-contained HTML file."""

from __future__ import annotations

import base64
import io
import sys
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

from tweakreg.plane import MAS_PER_ARCSEC
from tweakreg.records import Stage
from tweakreg.report import plots
from tweakreg.report.lines import chance_text, counted, failure_groups, result_lines, stages_asked
from tweakreg.report.views import ImageView, Outline, RunView
from tweakreg.results.record import ImageRecord

#: Pixels per inch of the plots, and colours that are left to them: 200 images have to fit into 20 MB.
_DPI, _COLOURS = 80, 32
_PHOTO_QUALITY = 50
#: Ink and ground that suit light and dark pages, and the size of the letters.
_STYLE = (plots.NEUTRAL, "none", 9.0)

#: Whose versions are told.
_PACKAGES = ("tweakreg", "astropy", "gwcs", "numpy", "photutils", "scipy", "stdatamodels", "stpipe")


def draw_view(view: ImageView, *, sources: bool) -> dict[str, str]:
    """The plots of an image in one stage as data URLs, readable on light and dark pages.

    Parameters
    ----------
    view : ImageView
        The image in this stage.
    sources : bool
        Whether to draw the sources over the image, too.

    Returns
    -------
    dict
        Data URL by what it shows; nothing where there was neither a match nor a search.
    """
    drawn = {}
    with plots.style(*_STYLE):
        if sources:
            drawn["sources"] = _photo(plots.sources_figure(view))
        if view.result.match is not None:
            drawn["residuals"] = _drawing(plots.plot_residuals(view.matches, note=view.note))
        if view.result.match is not None or view.result.peak is not None:
            drawn["diagnostics"] = _drawing(plots.plot_diagnostics(view))
    return drawn


Own = Mapping[Stage, tuple[int, float] | None]


def write_page(path: Path, run: RunView, own: Sequence[Own], drawn: Iterable[Mapping[Stage, dict[str, str]]]) -> None:
    """Write the page.

    Parameters
    ----------
    path : Path
        The new file.
    run : RunView
        What there is to see of the run.
    own : sequence of dict
        For each image, by stage, its own number of stars used and their rms, mas; None where there are none.
    drawn : iterable of dict
        For each image, by stage, what `draw_view` gives; taken one after another.
    """
    import jinja2

    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("tweakreg.report"), autoescape=True, trim_blocks=True, lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
    )  # fmt: skip
    environment.filters |= {"number": _number, "chance": chance_text, "counted": counted}
    with plots.style(*_STYLE):
        sky = _drawing(plots.sky_figure(run))
    records = run.records
    page = environment.get_template("page.html").stream(
        name=run.name,
        records=records,
        counts=Counter(record.status.value for record in records),
        n_groups=len({record.group for record in records}),
        lines=result_lines(records),
        failures=failure_groups(records),
        catalog_alone=sum(record.complete and record.relative.outcome.apart for record in records),
        rows=[_row(*each) for each in zip(records, run.outlines, strict=True)],
        sky=sky,
        images=zip(records, own, drawn, strict=True),
        own=own,
        parameters=_parameters(records),
        reference=run.reference,
        versions=[("Python", sys.version.split()[0]), *((package, version(package)) for package in _PACKAGES)],
        stages=stages_asked(records),
    )
    page.dump(str(path), encoding="utf-8")


def _row(record: ImageRecord, outline: Outline) -> dict[str, Any]:
    """How far an image was moved, and how well its place is known, in the table of images."""
    step = (outline.after - outline.before).mean(axis=0) if len(outline.before) else np.full(2, np.nan)
    moved = float(np.linalg.norm(step)) * MAS_PER_ARCSEC
    return {
        "moved": None if record.correction is None else moved,
        "error": None if record.stated_error is None else max(record.stated_error.centre),
    }


def _parameters(records: Sequence[ImageRecord]) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Name, value and origin of what somebody set, and of the defaults."""
    known = records[0].origins.parameters if records else {}
    rows = [{"name": name, "value": value, "origin": origin} for name, (value, origin) in known.items()]
    return [row for row in rows if row["origin"] != "default"], [row for row in rows if row["origin"] == "default"]


def _number(value: float | None, digits: int = 2) -> str:
    """A number as a person reads it; a dash where there is none."""
    if value is None or not np.isfinite(value):
        return "–"
    return f"{value:.{digits}f}" if abs(value) >= 0.5 * 10.0**-digits or value == 0.0 else f"{value:.2g}"


def _pixels(figure: Any) -> Any:
    from PIL import Image

    buffer = io.BytesIO()
    figure.savefig(buffer, format="rgba", dpi=_DPI)
    size = tuple(round(length * _DPI) for length in figure.get_size_inches())
    return Image.frombuffer("RGBA", size, buffer.getvalue(), "raw", "RGBA", 0, 1)


def _drawing(figure: Any) -> str:
    """Lines and points: few colours."""
    from PIL import Image

    image = _pixels(figure).quantize(_COLOURS, method=Image.Quantize.FASTOCTREE)
    return _data_url(image, "png", optimize=True)


def _photo(figure: Any) -> str:
    """Something with an image in it."""
    return _data_url(_pixels(figure), "webp", quality=_PHOTO_QUALITY)


def _data_url(image: Any, kind: str, **options: Any) -> str:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return f"data:image/{kind};base64,{base64.b64encode(buffer.getvalue()).decode()}"
