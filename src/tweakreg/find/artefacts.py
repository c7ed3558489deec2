"""Detections that stay on the detector while the sky moves: hot pixels, not stars."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy.spatial import KDTree

from tweakreg.plane import Bools, separation
from tweakreg.records import PlacedCatalog

#: Detections this near in two exposures, pixels, are at the same place of the detector ...
_SAME_PLACE = 0.5
#: ... and if the WCS put them at least this far apart, pixels, they are not the same star.
_MOVED = 3.0
#: More than this share of an exposure's detections are no artefacts: the pointing in the file is wrong instead.
_LARGEST_SHARE = 0.75


def fixed_detections(catalogs: Sequence[PlacedCatalog]) -> list[Bools]:
    """Find the detections that two exposures of one detector have at the same pixel but not on the same sky.

    Parameters
    ----------
    catalogs : sequence of PlacedCatalog
        Exposures in the order in which they were taken; each is compared with the
        next two of its detector.

    Returns
    -------
    list of (N,) bool arrays
        True for artefacts. All False for an exposure most of whose detections would be
        artefacts: then it was not dithered, whatever its file says.
    """
    fixed = [np.zeros(len(catalog.x), dtype=bool) for catalog in catalogs]
    by_detector: dict[str, list[int]] = {}
    for index, catalog in enumerate(catalogs):
        by_detector.setdefault(catalog.detector, []).append(index)
    for members in by_detector.values():
        for place, first in enumerate(members):
            for second in members[place + 1 : place + 3]:
                _mark(catalogs[first], catalogs[second], fixed[first], fixed[second])
    return [mark if np.count_nonzero(mark) <= _LARGEST_SHARE * len(mark) else np.zeros_like(mark) for mark in fixed]


def _mark(one: PlacedCatalog, other: PlacedCatalog, fixed_one: Bools, fixed_other: Bools) -> None:
    """Mark what a pair of exposures have at the same pixels but on another sky."""
    if len(one.x) == 0 or len(other.x) == 0:
        return
    tree = KDTree(np.column_stack([other.x, other.y]))
    distance, partner = tree.query(np.column_stack([one.x, one.y]), distance_upper_bound=_SAME_PLACE)
    found = np.flatnonzero(np.isfinite(distance))
    partner = partner[found]
    moved = separation(one.ra[found], one.dec[found], other.ra[partner], other.dec[partner])
    artefact = moved > _MOVED * one.pixel_scale
    fixed_one[found[artefact]] = True
    fixed_other[partner[artefact]] = True
