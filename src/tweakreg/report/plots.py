"""Plots of an alignment, on the records and tables that a run and the library give.

Every ``plot_...`` function draws into a matplotlib figure, or makes one, and returns it. What
cannot be shown is said in the place where it would be. Colours are those of Okabe and Ito, which
people with any colour vision tell apart, with a blue that is also readable on black; shapes differ as well.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
from astropy.table import Table

from tweakreg.plane import MAS_PER_ARCSEC, Bools, Floats, TangentPlane
from tweakreg.records import Outcome, StageResult, Status
from tweakreg.report.views import ImageView, Outline, RunView, used_of, weights_of

BLUE, ORANGE, VERMILION, GREEN = "#1F83C4", "#E69F00", "#D55E00", "#009E73"
#: Readable on white and on black, for figures with a transparent background.
NEUTRAL = "#808080"

_USED = {"marker": "o", "s": 9, "color": BLUE, "linewidths": 0, "alpha": 0.85}
_CLIPPED = {"marker": "x", "s": 22, "color": ORANGE, "linewidths": 1.2}
_UNMATCHED = {"marker": "s", "facecolors": "none", "edgecolors": VERMILION, "linewidths": 0.8, "alpha": 0.7}

#: So many stars of a catalog are enough for a map.
_MOST_STARS = 5000
#: A mean of fewer residuals is hardly one.
_ENOUGH_IN_CELL = 4
_NOTHING = "there is nothing to show"


@contextmanager
def style(ink: str = "black", background: str = "white", size: float = 8.0) -> Iterator[None]:
    """Size of the letters and colours of the plots, whatever a matplotlibrc says; use it around drawing and saving."""
    import matplotlib as mpl

    lines = dict.fromkeys(("axes.edgecolor", "axes.labelcolor", "text.color", "xtick.color", "ytick.color"), ink)
    grounds = dict.fromkeys(("figure.facecolor", "axes.facecolor", "savefig.facecolor"), background)
    sizes = {"font.size": size, "axes.titlesize": size, "legend.fontsize": 0.88 * size, "axes.linewidth": 0.7}
    others = {"legend.framealpha": 0.6, "legend.facecolor": background, "text.hinting": "none"}
    with mpl.rc_context():
        mpl.rcdefaults()
        mpl.rcParams.update({**lines, **grounds, **sizes, **others, "text.parse_math": False})
        yield


def plot_residuals(matches: Table, *, figure: Any = None, note: str = _NOTHING) -> Any:
    """Residuals to the east and north against x and y of the detector.

    A straight line through the residuals should be flat: a slope that exceeds its error tells of a scale, a rotation
    or a skew that the fit geometry left.

    Parameters
    ----------
    matches : Table
        From `tweakreg.report.tables.match_table` or a ``*_matches.ecsv``; rows of one stage, see `of_stage`.
    figure : matplotlib.figure.Figure or SubFigure, optional
        Where to draw; a new one if it is not given.
    note : str
        What is said where there are no matches.

    Returns
    -------
    Figure
    """
    figure = _figure(figure, (5.0, 5.0))
    axes = figure.subplots(2, 2, sharex="col", sharey=True)
    _few_ticks(axes)
    figure.subplots_adjust(left=0.14, right=0.97, top=0.93, bottom=0.11, wspace=0.06, hspace=0.1)
    used = used_of(matches)
    columns = [np.asarray(matches[name], dtype=float) for name in ("residual_ra", "residual_dec")]
    for row, (residual, word) in zip(axes, zip(columns, ("east", "north"), strict=True), strict=True):
        for axis, along in zip(row, ("x", "y"), strict=True):
            if used.any():
                _residual_panel(
                    axis, np.asarray(matches[along], dtype=float), residual, used, weights_of(matches)[used]
                )
            else:
                _say(axis, note)
        row[0].set_ylabel(f"residual to the {word}, mas")
    for axis, along in zip(axes[1], ("x", "y"), strict=True):
        axis.set_xlabel(f"{along}, pixels")
    if used.any():
        axes[0, 0].set_ylim(*_limits(np.concatenate([column[used] for column in columns]), np.concatenate(columns)))
    figure.suptitle("residuals, reference − image", y=0.985, fontsize="medium")
    return figure


def _residual_panel(axis: Any, position: Floats, residual: Floats, used: Bools, weight: Floats) -> None:
    rms = float(np.sqrt(np.average(residual[used] ** 2, weights=weight)))
    axis.axhline(0.0, color=NEUTRAL, lw=0.6)
    axis.scatter(position[used], residual[used], **_USED, label=f"rms {rms:.3g} mas, N = {used.sum()}")
    if (~used).any():
        axis.scatter(position[~used], residual[~used], **_CLIPPED, label=f"{(~used).sum()} clipped")
    line = slope(position[used], residual[used], weight)
    if line is not None:
        ends = np.array([position[used].min(), position[used].max()])
        value, error, level = line
        digits = max(0, 1 - int(np.floor(np.log10(max(error, 1e-9)))))
        label = f"{round(value, digits) + 0.0:+.{digits}f} ± {error:.{digits}f} mas / 1000 px"
        axis.plot(ends, level + value * ends / 1000.0, color=VERMILION, lw=1.2, label=label)
    axis.legend(loc="upper center", borderpad=0.2, handlelength=1.2, labelspacing=0.2)


def slope(position: Floats, residual: Floats, weight: Floats | None = None) -> tuple[float, float, float] | None:
    """Slope of residuals per 1000 pixels, its standard error, and the line's value at 0; None for too few points."""
    if len(position) < 4 or np.ptp(position) <= 0.0:
        return None
    root = None if weight is None else np.sqrt(weight / weight.mean())
    coefficients, covariance = np.polyfit(position, residual, 1, w=root, cov=True)
    return 1000.0 * float(coefficients[0]), 1000.0 * float(np.sqrt(covariance[0, 0])), float(coefficients[1])


def slopes(matches: Table) -> Table:
    """Slopes of the residuals that were used: what a scale, a rotation or a skew leaves that the fit did not have.

    Parameters
    ----------
    matches : Table
        As for `plot_residuals`.

    Returns
    -------
    Table
        A row for each residual and axis of the detector: slope and its standard error, mas per 1000 pixels, and the
        one over the other. No row where there are too few stars.
    """
    used = used_of(matches)
    rows = []
    for along in "xy":
        for residual in ("residual_ra", "residual_dec"):
            position, value = (np.asarray(matches[name], dtype=float)[used] for name in (along, residual))
            line = slope(position, value, weights_of(matches)[used])
            if line is not None:
                rows.append((along, residual, line[0], line[1], line[0] / line[1]))
    return Table(rows=rows or None, names=("along", "residual", "slope", "error", "sigma"), dtype=_SLOPE_TYPES)


_SLOPE_TYPES = ("U1", "U12", float, float, float)


def of_stage(matches: Table, stage: str) -> Table:
    """The rows of one stage, 'relative' or 'absolute'."""
    return matches[np.asarray(matches["stage"], dtype=str) == stage]


def _limits(used: Floats, everything: Floats) -> tuple[float, float]:
    """Symmetric, with room for the legend; a clipped star far away does not make all others small."""
    inner = max(float(np.abs(used).max()), 1e-6)
    outer = min(float(np.abs(everything).max()), 3.0 * inner)
    return -1.3 * outer, 1.6 * outer


def plot_vectors(matches: Table, *, axes: Any = None, note: str = _NOTHING, cells: int | None = None) -> Any:
    """Residuals as arrows on the sky, north up and east to the left.

    Parameters
    ----------
    matches : Table
        As for `plot_residuals`.
    axes : matplotlib.axes.Axes, optional
        Where to draw; a new figure if it is not given.
    note : str
        What is said where there are no matches.
    cells : int, optional
        Draw the mean residual in so many cells along each axis, not that of each star: noise averages out, and a
        pattern stays.

    Returns
    -------
    Axes
    """
    axes = _axes(axes)
    used = used_of(matches)
    if cells is None:
        axes.set_title("residual vectors" + (", clipped ones shortened" if used.any() and not used.all() else ""))
    else:
        axes.set_title(f"mean residuals in {cells} × {cells} cells")
    if not used.any():
        return _say(axes, note)
    xy = np.column_stack([np.asarray(matches[name], dtype=float) for name in ("ref_plane_x", "ref_plane_y")])
    residual = np.column_stack([np.asarray(matches[name], dtype=float) for name in ("residual_ra", "residual_dec")])
    if cells is not None:
        xy, residual = _cell_means(xy[used], residual[used], cells)
        used = np.ones(len(xy), dtype=bool)
        if not len(xy):
            return _say(axes, "too few stars in each cell")
    xy = xy - (xy.min(axis=0) + xy.max(axis=0)) / 2.0
    typical = float(np.sqrt(np.mean(np.sum(residual[used] ** 2, axis=1))))
    width = max(float(np.ptp(xy, axis=0).max()), 1e-3)
    scale = max(typical, 1e-9) / (0.07 * width)
    for chosen, colour in ((used, BLUE), (~used, ORANGE)):
        if chosen.any():
            arrows = axes.quiver(
                *xy[chosen].T,
                *_at_most(residual[chosen], 4.0 * typical).T,
                angles="xy",
                scale_units="xy",
                scale=scale,
                color=colour,
                width=0.004,
            )
    length = round_length(2.0 * typical)
    axes.quiverkey(arrows, 0.14, 0.05, length, f"{length:g} mas", labelpos="E", color=VERMILION)
    _sky_axes(axes, xy)
    return axes


def _cell_means(xy: Floats, residual: Floats, cells: int) -> tuple[Floats, Floats]:
    """Mean places and residuals in cells of the sky with at least four stars."""
    number = np.zeros(len(xy), dtype=int)
    for axis in xy.T:
        number = cells * number + np.digitize(axis, np.linspace(axis.min(), axis.max(), cells + 1)[1:-1])
    full = [number == cell for cell in np.unique(number) if np.count_nonzero(number == cell) >= _ENOUGH_IN_CELL]
    if not full:
        return np.empty((0, 2)), np.empty((0, 2))
    return np.array([xy[each].mean(axis=0) for each in full]), np.array([residual[each].mean(axis=0) for each in full])


def _at_most(vectors: Floats, longest: float) -> Floats:
    """Vectors, shortened to a largest length."""
    length = np.linalg.norm(vectors, axis=1, keepdims=True)
    return np.asarray(vectors * np.minimum(1.0, longest / np.maximum(length, 1e-12)))


def round_length(length: float) -> float:
    """The nearest of 1, 2 and 5 times a power of ten that is not longer."""
    if not length > 0.0:
        return 1.0
    power = 10.0 ** np.floor(np.log10(length) + 1e-12)
    return float(power * max(step for step in (1.0, 2.0, 5.0) if step <= length / power * (1.0 + 1e-9)))


def _sky_axes(axes: Any, xy: Floats) -> None:
    middle, half = (xy.min(axis=0) + xy.max(axis=0)) / 2.0, 0.56 * max(float(np.ptp(xy, axis=0).max()), 1e-3)
    axes.set(xlim=(middle[0] + half, middle[0] - half), ylim=(middle[1] - half, middle[1] + half), aspect="equal")
    axes.set(xlabel="east, arcsec", ylabel="north, arcsec")


def plot_search(result: StageResult, *, axes: Any = None) -> Any:
    """The histogram in which the offset between the catalogs was sought.

    Parameters
    ----------
    result : StageResult
        How the stage ended.
    axes : matplotlib.axes.Axes, optional
        Where to draw; a new figure if they are not given.

    Returns
    -------
    Axes
    """
    axes = _axes(axes)
    peak = result.peak
    if peak is None:
        axes.set_title("search for the offset")
        return _say(axes, f"no search: {result.outcome.brief}")
    east, north = peak.start
    extent = (east - peak.extent, east + peak.extent, north - peak.extent, north + peak.extent)
    # The square root: the fluctuations of the background are to be seen, too.
    axes.imshow(np.sqrt(peak.counts.T), origin="lower", extent=extent, cmap="cividis", interpolation="nearest")
    excess = (peak.n_pairs - peak.expected) / np.sqrt(max(peak.expected, 1.0))
    axes.plot(*peak.offset, "o", ms=13, mfc="none", mec=VERMILION, mew=1.4)
    axes.set_title(
        f"search: {peak.n_pairs} pairs, {peak.expected:.1f} by chance\n"
        f"({excess:.0f} σ), runner-up {peak.rival_share:.0%}"
    )
    axes.set(xlabel="image − reference, east, arcsec", ylabel="north, arcsec", xlim=extent[1::-1])
    return axes


def plot_magnitudes(matches: Table, *, axes: Any = None, note: str = _NOTHING) -> Any:
    """Lengths of the residuals against instrumental magnitude.

    Parameters
    ----------
    matches : Table
        As for `plot_residuals`.
    axes : matplotlib.axes.Axes, optional
        Where to draw; a new figure if they are not given.
    note : str
        What is said where there are no matches.

    Returns
    -------
    Axes
    """
    axes = _axes(axes)
    axes.set_title("residual against magnitude")
    magnitude = np.asarray(matches["mag"], dtype=float)
    length = np.hypot(np.asarray(matches["residual_ra"], dtype=float), np.asarray(matches["residual_dec"], dtype=float))
    used = used_of(matches)
    known = np.isfinite(magnitude)
    if not (known & used).any():
        return _say(axes, "the catalog has no fluxes" if used.any() else note)
    axes.scatter(magnitude[used & known], length[used & known], **_USED)
    axes.scatter(magnitude[~used & known], length[~used & known], **_CLIPPED)
    rms = float(np.sqrt(np.average(length[used] ** 2, weights=weights_of(matches)[used])))
    axes.axhline(rms, color=NEUTRAL, lw=0.8, label="rms")
    axes.set(xlabel="instrumental magnitude", ylabel="residual, mas", ylim=(0.0, None))
    axes.legend(loc="upper left")
    return axes


def plot_clipping(result: StageResult, *, axes: Any = None) -> Any:
    """The rms of each clipping pass and the number of stars used.

    Parameters
    ----------
    result : StageResult
        How the stage ended.
    axes : matplotlib.axes.Axes, optional
        Where to draw; a new figure if they are not given.

    Returns
    -------
    Axes
    """
    axes = _axes(axes)
    axes.set_title("clipping")
    if result.fit is None:
        return _say(axes, f"no fit: {result.outcome.brief}")
    passes = result.fit.passes
    rms = [MAS_PER_ARCSEC * each for _, each in passes]
    axes.plot(range(len(passes)), rms, "o-", color=BLUE, ms=4, lw=1.0)
    last = len(passes) - 1
    for number in sorted({0, last}):  # more would overlap
        side = "right" if 0 < number == last else "left"
        label = {"textcoords": "offset points", "xytext": (-4 if side == "right" else 4, 6), "ha": side}
        axes.annotate(f"N = {passes[number][0]}", (number, rms[number]), **label)
    axes.set(xlabel="pass", ylabel="rms, mas", xlim=(-0.4, last + 0.4), xticks=range(len(passes)))
    axes.set_ylim(0.0, 1.25 * max(max(rms), 1e-9))
    return axes


def plot_sources(view: ImageView, *, axes: Any = None) -> Any:
    """Matched, clipped and unmatched sources over the image.

    Parameters
    ----------
    view : ImageView
        The image in one stage.
    axes : matplotlib.axes.Axes, optional
        Where to draw; a new figure if they are not given.

    Returns
    -------
    Axes
    """
    axes = _axes(axes)
    picture = view.picture
    if picture is not None:
        height, width = (length * picture.step for length in picture.values.shape)
        extent = (-0.5, width - 0.5, -0.5, height - 0.5)
        axes.imshow(picture.values, origin="lower", extent=extent, cmap="gray_r", vmin=0, vmax=400)
        axes.set(xlim=(-0.5, picture.shape[1] - 0.5), ylim=(-0.5, picture.shape[0] - 0.5))
    clipped = ~used_of(view.matches)
    x, y = (np.asarray(view.matches[name], dtype=float) for name in ("x", "y"))
    matched = np.isin(view.x + 1j * view.y, x + 1j * y)
    rings = {"marker": "o", "s": 30, "facecolors": "none", "edgecolors": BLUE, "linewidths": 1.0}
    axes.scatter(x[~clipped], y[~clipped], **rings, label=f"{(~clipped).sum()} used")
    axes.scatter(x[clipped], y[clipped], **_CLIPPED, label=f"{clipped.sum()} clipped")
    size = float(np.clip(2000.0 / max(len(view.x), 1), 2.0, 14.0))  # a thousand must leave room for the others
    axes.scatter(
        view.x[~matched], view.y[~matched], size, **_UNMATCHED, label=f"{(~matched).sum()} unmatched", zorder=1
    )
    axes.set(xlabel="x, pixels", ylabel="y, pixels", aspect="equal")
    axes.legend(loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=3, frameon=False, columnspacing=1.0)
    if not len(view.x):
        axes.text(0.5, 0.5, "no sources", ha="center", va="center", transform=axes.transAxes)
    if picture is None:
        axes.text(0.02, 0.02, "the pixels were not kept", transform=axes.transAxes, fontsize=7)
    return axes


def sources_figure(view: ImageView, *, figure: Any = None) -> Any:
    """A figure of its own with the sources of an image."""
    figure = _figure(figure, (5.0, 5.0))
    axes = figure.subplots()
    figure.subplots_adjust(left=0.14, right=0.97, top=0.93, bottom=0.11)
    plot_sources(view, axes=axes)
    return figure


def plot_diagnostics(view: ImageView, *, figure: Any = None) -> Any:
    """Residual vectors, the search for the offset, residual against magnitude, and clipping.

    Parameters
    ----------
    view : ImageView
        The image in one stage.
    figure : matplotlib.figure.Figure or SubFigure, optional
        Where to draw; a new one if it is not given.

    Returns
    -------
    Figure
    """
    figure = _figure(figure, (5.0, 5.0))
    panels = figure.subplots(2, 2)
    _few_ticks(panels)
    (vectors, search), (magnitudes, clipping) = panels
    figure.subplots_adjust(left=0.12, right=0.97, top=0.92, bottom=0.1, wspace=0.36, hspace=0.4)
    plot_vectors(view.matches, axes=vectors, note=view.note)
    plot_search(view.result, axes=search)
    plot_magnitudes(view.matches, axes=magnitudes, note=view.note)
    plot_clipping(view.result, axes=clipping)
    return figure


def plot_image(view: ImageView, *, figure: Any = None) -> Any:
    """All plots of an image in one stage, side by side.

    Parameters
    ----------
    view : ImageView
        The image in one stage.
    figure : matplotlib.figure.Figure, optional
        Where to draw; a new one if it is not given.

    Returns
    -------
    Figure
    """
    figure = _figure(figure, (15.0, 5.4))
    top, bottom = figure.subfigures(2, 1, height_ratios=[0.06, 1.0])
    outcome = view.result.outcome
    words = "aligned" if outcome is Outcome.ALIGNED else view.note
    top.suptitle(f"{view.name} · {view.result.stage.value} · {words}", fontsize=10.0, y=0.5, parse_math=False)
    sources, residuals, diagnostics = bottom.subfigures(1, 3)
    sources_figure(view, figure=sources)
    plot_residuals(view.matches, figure=residuals, note=view.note)
    plot_diagnostics(view, figure=diagnostics)
    return figure


def plot_sky(
    outlines: Sequence[Outline],
    plane: TangentPlane,
    *,
    reference: tuple[Floats, Floats] | None = None,
    name: str = "reference catalog",
    axes: Any = None,
) -> Any:
    """Footprints of all images before and after, and the reference catalog, north up and east to the left.

    Parameters
    ----------
    outlines : sequence of Outline
        Where each image lay and lies.
    plane : TangentPlane
        The common plane.
    reference : (ra, dec), optional
        Stars of the reference catalog, degrees.
    name : str
        Of the catalog.
    axes : matplotlib.axes.Axes, optional
        Where to draw; a new figure if they are not given.

    Returns
    -------
    Axes
    """
    from matplotlib.collections import PolyCollection

    axes = _axes(axes)
    outlines = [each for each in outlines if len(each.before)]  # of an image without a usable WCS there is none
    everything = np.concatenate([np.empty((0, 2)), *(each.before for each in outlines)])
    if not len(everything):
        return _say(axes, "no image has a place on the sky")
    if reference is not None:
        stars = _inside(plane.project(*reference), everything)
        axes.scatter(*stars.T, s=4, color=GREEN, linewidths=0, alpha=0.6, label=f"catalog {name}", zorder=1)
    width = float(np.clip(30.0 / max(len(outlines), 1), 0.3, 1.0))  # hundreds would be one blot

    def draw(shapes: list[Floats], colour: str, label: str, dashes: str = "-") -> None:
        look: dict[str, Any] = {
            "facecolors": "none",
            "edgecolors": colour,
            "linestyles": dashes,
            "linewidths": width,
            "label": label,
        }
        axes.add_collection(PolyCollection(shapes, **look))

    draw([each.before for each in outlines], NEUTRAL, "before", "--")
    for well, colour, label in ((True, BLUE, "after"), (False, VERMILION, "not aligned")):
        chosen = [each.after for each in outlines if (each.status is Status.COMPLETE) is well]
        if chosen:
            draw(chosen, colour, label)
    tips = _shifts(axes, outlines)
    _sky_axes(axes, np.concatenate([everything, tips, *(each.after for each in outlines)]))
    axes.set(xlabel=f"east of RA {plane.ra:.5f}°, arcsec", ylabel=f"north of Dec {plane.dec:+.5f}°, arcsec")
    axes.legend(loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=4, frameon=False, columnspacing=1.0)
    return axes


def sky_figure(view: RunView) -> Any:
    """A figure of its own with the map of a run."""
    figure = _figure(None, (7.0, 7.0))
    axes = figure.subplots()
    figure.subplots_adjust(left=0.12, right=0.97, top=0.95, bottom=0.08)
    catalog = view.reference
    reference, name = (None, "") if catalog is None else ((catalog.ra, catalog.dec), catalog.name)
    plot_sky(view.outlines, view.plane, reference=reference, name=name, axes=axes)
    return figure


def _inside(stars: Floats, footprints: Floats) -> Floats:
    """Those in the field, thinned where there are too many to tell apart."""
    low, high = footprints.min(axis=0), footprints.max(axis=0)
    stars = stars[np.isfinite(stars).all(axis=1)]
    margin = 0.05 * (high - low)
    stars = stars[((stars > low - margin) & (stars < high + margin)).all(axis=1)]
    return stars[:: -(-len(stars) // _MOST_STARS) or 1]


def _shifts(axes: Any, outlines: Sequence[Outline]) -> Floats:
    """Arrows from the middle of each image: how far it was moved, enlarged; where they end."""
    centres = np.array([each.before.mean(axis=0) for each in outlines])
    moves = np.array([(each.after - each.before).mean(axis=0) for each in outlines]) * MAS_PER_ARCSEC
    longest = float(np.linalg.norm(moves, axis=1).max())
    if not longest > 0.0:
        return centres
    width = float(np.ptp(np.concatenate([each.before for each in outlines]), axis=0).max())
    scale = longest / (0.12 * width)
    arrows = axes.quiver(
        *centres.T, *moves.T, angles="xy", scale_units="xy", scale=scale, color=BLUE, width=0.003, zorder=4
    )
    length = round_length(longest)
    axes.quiverkey(arrows, 0.1, 0.04, length, f"moved by {length:g} mas", labelpos="E", color=BLUE)
    return np.asarray(centres + moves / scale)


def _few_ticks(panels: Any) -> None:
    """Small panels have no room for more, and ticks take most of the time of a plot."""
    for axes in panels.flat:
        axes.locator_params(nbins=5)


def _figure(figure: Any, size: tuple[float, float]) -> Any:
    if figure is not None:
        return figure
    from tweakreg.report.figure import ShownFigure

    return ShownFigure(figsize=size)


def _axes(axes: Any) -> Any:
    return _figure(None, (5.0, 5.0)).subplots() if axes is None else axes


def _say(axes: Any, text: str) -> Any:
    """Words in the place of a plot."""
    import textwrap

    axes.set(xticks=[], yticks=[])
    axes.text(0.5, 0.5, textwrap.fill(text, 30), ha="center", va="center", transform=axes.transAxes, color=NEUTRAL)
    return axes
