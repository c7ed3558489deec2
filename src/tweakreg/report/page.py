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
from tweakreg.records import Alignment, Outcome, Status
from tweakreg.report import plots
from tweakreg.report.lines import chance_text, counted, failure_groups, result_lines, stages_asked
from tweakreg.report.views import ImageView, Outline
from tweakreg.results.keywords import Tree

#: Pixels per inch of the plots, and colours that are left to them: 200 images have to fit into 20 MB.
_DPI, _COLOURS = 80, 32
_PHOTO_QUALITY = 50
#: Ink and ground that suit light and dark pages, and the size of the letters.
_STYLE = (plots.NEUTRAL, "none", 9.0)

#: Whose versions are told.
_PACKAGES = ("tweakreg", "astropy", "gwcs", "numpy", "photutils", "scipy", "stcal", "stdatamodels", "stpipe")


def draw_view(view: ImageView, *, sources: bool) -> dict[str, str]:
    """The plots of an image in one stage as data URLs, readable on light and dark pages.

    Parameters
    ----------
    view : ImageView
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


def write_page(
    path: Path,
    name: str,
    trees: Sequence[Tree],
    own: Sequence[Mapping[str, tuple[int, float] | None]],
    drawn: Iterable[dict[str, dict[str, str]]],
    outlines: Sequence[Outline],
    alignment: Alignment,
) -> None:
    """Write the page.

    Parameters
    ----------
    path : Path
    name : str
        Of the run.
    trees : sequence of dict
        The results of the images.
    own : sequence of dict
        For each image, by stage, its own number of stars used and their rms, mas; None where there are none.
    drawn : iterable of dict
        For each image, by stage, what `draw_view` gives; taken one after another.
    outlines : sequence of Outline
    alignment : Alignment
    """
    import jinja2

    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("tweakreg.report"), autoescape=True, trim_blocks=True, lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
    )  # fmt: skip
    environment.filters |= {"number": _number, "brief": _brief, "chance": chance_text, "counted": counted}
    with plots.style(*_STYLE):
        sky = _drawing(plots.sky_figure(outlines, alignment))
    page = environment.get_template("page.html").stream(
        name=name,
        trees=trees,
        counts=Counter(tree["status"] for tree in trees),
        n_groups=len({tree["group"] for tree in trees}),
        lines=result_lines(trees),
        failures=failure_groups(trees),
        catalog_alone=_tied_by_the_catalog_alone(trees),
        rows=[_row(*each) for each in zip(trees, own, outlines, strict=True)],
        sky=sky,
        images=zip(trees, own, drawn, strict=True),
        parameters=_parameters(trees),
        reference=alignment.reference,
        versions=[("Python", sys.version.split()[0]), *((package, version(package)) for package in _PACKAGES)],
        stages=stages_asked(trees),
    )
    page.dump(str(path), encoding="utf-8")


def _row(tree: Tree, own: Mapping[str, tuple[int, float] | None], outline: Outline) -> dict[str, Any]:
    """A row of the table of images: what is the image's own, not its group's."""
    row: dict[str, Any] = {"name": tree["name"], "group": tree["group"], "status": tree["status"]}
    for stage, numbers in own.items():
        row[f"{stage}_n_used"], row[f"{stage}_rms"] = numbers or (None, None)
    moved = float(np.linalg.norm((outline.after - outline.before).mean(axis=0))) * MAS_PER_ARCSEC
    error = tree.get("predicted_error", {}).get("centre")
    return row | {"moved": moved if "correction" in tree else None, "error": max(error) if error else None}


def _tied_by_the_catalog_alone(trees: Sequence[Tree]) -> int:
    """How many images are COMPLETE although they could not be aligned to the others."""
    apart = (Outcome.NOT_TIED.name, Outcome.NO_OVERLAP.name)
    complete = (tree for tree in trees if tree["status"] == Status.COMPLETE.value)
    return sum(tree["stages"]["relative"]["outcome"] in apart for tree in complete)


def _parameters(trees: Sequence[Tree]) -> tuple[list[Tree], list[Tree]]:
    """Name, value and origin of what somebody set, and of the defaults."""
    known = trees[0]["parameters"] if trees else {}
    rows = [{"name": name, **entry} for name, entry in known.items()]
    return [row for row in rows if row["origin"] != "default"], [row for row in rows if row["origin"] == "default"]


def _number(value: float | None, digits: int = 2) -> str:
    """A number as a person reads it; a dash where there is none."""
    if value is None or not np.isfinite(value):
        return "–"
    return f"{value:.{digits}f}" if abs(value) >= 0.5 * 10.0**-digits or value == 0.0 else f"{value:.2g}"


def _brief(outcome: str) -> str:
    """What happened, by the name of the outcome."""
    return Outcome[outcome].brief


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
