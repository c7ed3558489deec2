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
#: Where more than this share of an exposure's detections is at the same places as in another, one of the two may have
#: a wrong pointing in its file instead: what the other exposures say decides.
_LARGE_SHARE = 0.75


def fixed_detections(catalogs: Sequence[PlacedCatalog]) -> list[Bools]:
    """Find the detections that two exposures of one detector have at the same pixel but not on the same sky.

    Parameters
    ----------
    catalogs : sequence of PlacedCatalog
        Exposures in the order in which they were taken; each is compared with two before and two after it of its
        detector.

    Returns
    -------
    list of (N,) bool arrays
        True for artefacts. Where most detections of an exposure seem to be some, they are if it seems so against half
        of the exposures that it is compared with: of one whose file has a wrong pointing the others are right.
    """
    marks: list[list[Bools]] = [[] for _ in catalogs]
    by_detector: dict[str, list[int]] = {}
    for index, catalog in enumerate(catalogs):
        by_detector.setdefault(catalog.detector, []).append(index)
    for members in by_detector.values():
        for first, second in _neighbours(members):
            for index, mark in zip((first, second), _fixed(catalogs[first], catalogs[second]), strict=True):
                marks[index].append(mark)
    return [_agreed(of_pairs, len(catalog.x)) for of_pairs, catalog in zip(marks, catalogs, strict=True)]


def _neighbours(members: Sequence[int]) -> set[tuple[int, int]]:
    """Each exposure with the next two; the first ones come after the last, so that all have as many."""
    number = len(members)
    pairs = ((place, (place + step) % number) for place in range(number) for step in (1, 2))
    return {(members[min(pair)], members[max(pair)]) for pair in pairs if pair[0] != pair[1]}


def _agreed(marks: Sequence[Bools], number: int) -> Bools:
    """What the comparisons of an exposure with others say together."""
    large = [np.count_nonzero(mark) > _LARGE_SHARE * number for mark in marks]
    most = 2 * sum(large) >= len(large)
    believed = [mark for mark, is_large in zip(marks, large, strict=True) if most or not is_large]
    return np.asarray(np.logical_or.reduce([np.zeros(number, dtype=bool), *believed]))


def _fixed(one: PlacedCatalog, other: PlacedCatalog) -> tuple[Bools, Bools]:
    """What each of a pair of exposures has at the same pixels as the other but on another sky."""
    fixed = np.zeros(len(one.x), dtype=bool), np.zeros(len(other.x), dtype=bool)
    if len(one.x) and len(other.x):
        tree = KDTree(np.column_stack([other.x, other.y]))
        distance, partner = tree.query(np.column_stack([one.x, one.y]), distance_upper_bound=_SAME_PLACE)
        found = np.flatnonzero(np.isfinite(distance))
        partner = partner[found]
        moved = separation(one.ra[found], one.dec[found], other.ra[partner], other.dec[partner])
        artefact = moved > _MOVED * one.pixel_scale
        fixed[0][found[artefact]] = True
        fixed[1][partner[artefact]] = True
    return fixed
