"""A reference catalog where exposures saw it: at their epochs, from where the telescope was, on the common plane."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import numpy as np

from tweakreg.errors import logger
from tweakreg.plane import MAS_PER_ARCSEC, Floats, TangentPlane
from tweakreg.records import EpochCatalog, PlaneCatalog, ReferenceCatalog, Sources
from tweakreg.reference.epoch import at_epoch, motion_dispersion, observer_at
from tweakreg.reference.region import near_images

log = logger(__name__)

#: Groups between whose epochs the stars move by less than this, mas, are tied to the catalog together.
_SAME_EPOCH = 0.1
#: Without proper motions, positions so many years old are worth a warning.
_LONG_AGO = 0.5


class Observation(Protocol):
    """What is asked of an image: its group, its vertices (degrees), when and from where it was taken."""

    @property
    def group(self) -> str:
        """Images of one group are tied together."""

    @property
    def footprint(self) -> tuple[Floats, Floats]:
        """Vertices, degrees."""

    @property
    def epoch(self) -> float:
        """Decimal year; NaN if unknown."""

    @property
    def observer(self) -> Floats | None:
        """Barycentric position (3,), ICRS, au, if it is known."""


def at_epochs(
    catalog: ReferenceCatalog, images: Sequence[Observation], margin: float, plane: TangentPlane
) -> tuple[ReferenceCatalog, PlaneCatalog]:
    """The catalog where the exposures saw it.

    Parameters
    ----------
    catalog : ReferenceCatalog
        At its own epoch.
    images : sequence of Observation
        At least one.
    margin : float
        So far beyond the images stars are wanted, degrees.
    plane : TangentPlane
        The common plane.

    Returns
    -------
    catalog : ReferenceCatalog
        Around the exposures, at their mean epoch.
    on_plane : PlaneCatalog
        The same on the plane, and at the epoch of each group where the stars move.
    """
    footprints = [each.footprint for each in images]
    epochs = _group_epochs(images)
    if catalog.epoch is None or not epochs:
        if catalog.moves:
            log.warning("no exposure says when it was taken: the positions of %s are taken as they are", catalog.name)
        catalog = catalog[near_images(catalog.ra, catalog.dec, footprints, margin)]
        return catalog, PlaneCatalog(sources=on_plane(catalog, plane))
    middle = float(np.mean(list(epochs.values())))
    mean = at_epoch(catalog, middle, _observer(images, list(epochs), middle))
    near = near_images(mean.ra, mean.dec, footprints, margin)
    mean, catalog = mean[near], catalog[near]
    log.info("%s: %d stars, moved to epoch %.3f", catalog.name, len(mean), middle)
    if not catalog.moves:
        _warn_of_old_positions(catalog, middle)
        return mean, PlaneCatalog(sources=on_plane(mean, plane))
    found = []
    for names in _epoch_sets(epochs, motion_dispersion(catalog)):
        epoch = float(np.mean([epochs[name] for name in names]))
        moved = at_epoch(catalog, epoch, _observer(images, names, epoch))
        found.append(EpochCatalog(groups=tuple(names), epoch=epoch, sources=on_plane(moved, plane)))
    if len(found) > 1:
        span = min(epochs.values()), max(epochs.values())
        log.info("exposures of %d epochs, %.3f to %.3f, are tied to it one after the other", len(found), *span)
    others = tuple(sorted({each.group for each in images} - epochs.keys()))
    if others:
        log.warning("%s: no date says when it was taken: the mean of the others is used", ", ".join(others))
        found.append(EpochCatalog(groups=others, epoch=float("nan"), sources=on_plane(mean, plane)))
    return mean, PlaneCatalog(sources=on_plane(mean, plane), epochs=tuple(found))


def _warn_of_old_positions(catalog: ReferenceCatalog, epoch: float) -> None:
    years = 0.0 if catalog.epoch is None or not len(catalog) else abs(epoch - float(np.median(catalog.epoch)))
    if years > _LONG_AGO:
        log.warning(
            "%s: its stars have no proper motions, and their positions are %.1f years from the exposures: "
            "what all of them moved meanwhile is in the result",
            catalog.name,
            years,
        )


def on_plane(catalog: ReferenceCatalog, plane: TangentPlane) -> Sources:
    """The stars of a catalog that have a place on the plane.

    Parameters
    ----------
    catalog : ReferenceCatalog
        At the epoch that is wanted.
    plane : TangentPlane
        The common plane.
    """
    variance = None if catalog.variance is None else catalog.variance / MAS_PER_ARCSEC**2
    xy = plane.project(catalog.ra, catalog.dec)
    sources = Sources(xy=xy, weight=catalog.weight, variance=variance, name=catalog.name)
    return sources[np.asarray(np.isfinite(xy).all(axis=1))]


def _group_epochs(images: Sequence[Observation]) -> dict[str, float]:
    """Mean epoch of each group that says when it was taken."""
    members: dict[str, list[float]] = {}
    for each in images:
        if np.isfinite(each.epoch):
            members.setdefault(each.group, []).append(each.epoch)
    return {group: float(np.mean(values)) for group, values in members.items()}


def _epoch_sets(epochs: dict[str, float], motion: float) -> list[list[str]]:
    """Groups of one epoch, in the order of time; `motion` is in mas per year."""
    sets: list[list[str]] = []
    start = -np.inf
    for name in sorted(epochs, key=lambda name: epochs[name]):
        if not sets or (epochs[name] - start) * motion > _SAME_EPOCH:
            sets.append([])
            start = epochs[name]
        sets[-1].append(name)
    return sets


def _observer(images: Sequence[Observation], names: list[str], epoch: float) -> Floats:
    """Where the telescope was, as the exposures say, or else L2; barycentric, au."""
    said = [each.observer for each in images if each.group in names and each.observer is not None]
    return np.mean(said, axis=0) if said else observer_at(epoch)
