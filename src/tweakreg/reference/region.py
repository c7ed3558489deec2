"""Which parts of the sky a run needs stars of."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import connected_components
from scipy.spatial import KDTree

from tweakreg.plane import Bools, Floats, angle, sky_positions, unit_vectors
from tweakreg.reference.cone import Cone

#: Steps towards the farthest point: the radius is then within a part in a thousand of the smallest.
_STEPS = 1000


def cones(footprints: Sequence[tuple[Floats, Floats]], margin: float) -> list[Cone]:
    """The smallest cones around all images: one for each set of images whose surroundings touch.

    Parameters
    ----------
    footprints : sequence of (ra, dec)
        Vertices of each image, degrees.
    margin : float
        Added on every side, degrees.

    Returns
    -------
    list of Cone
    """
    vertices = [unit_vectors(*footprint) for footprint in footprints]
    middles, radii = zip(*(_cap(points, 20) for points in vertices), strict=True)
    labels = _touching(np.array(middles), np.array(radii) + np.radians(margin))
    found = []
    for label in range(labels.max() + 1):
        middle, radius = _cap(np.concatenate([vertices[i] for i in np.flatnonzero(labels == label)]), _STEPS)
        ra, dec = sky_positions(middle)
        found.append(Cone(ra=float(ra), dec=float(dec), radius=float(np.degrees(radius)) + margin))
    return found


def _cap(points: Floats, steps: int) -> tuple[Floats, float]:
    """Middle and angular radius of a small cap that holds all points (Bădoiu and Clarkson 2003, SODA)."""
    middle = points.mean(axis=0)
    middle /= np.linalg.norm(middle)
    for step in range(1, steps + 1):
        farthest = points[np.argmin(points @ middle)]
        middle = middle + (farthest - middle) / (step + 1)
        middle /= np.linalg.norm(middle)
    return middle, float(angle(points, middle).max())


def _touching(middles: Floats, radii: Floats) -> Floats:
    """A label for each cap, the same for those that are connected by overlaps."""
    chord = 2.0 * np.sin(np.minimum(radii.max(), np.pi / 2.0))
    pairs = KDTree(middles).query_pairs(float(chord) + 1e-12, output_type="ndarray")
    apart = angle(middles[pairs[:, 0]], middles[pairs[:, 1]])
    pairs = pairs[apart <= radii[pairs].sum(axis=1)]
    graph = coo_matrix((np.ones(len(pairs)), pairs.T), shape=(len(middles),) * 2)
    return np.asarray(connected_components(graph, directed=False)[1])


def near_images(ra: Floats, dec: Floats, footprints: Sequence[tuple[Floats, Floats]], margin: float) -> Bools:
    """Which stars lie within the cap around some image and the margin: a cone around a mosaic holds many others."""
    stars = unit_vectors(ra, dec)
    near = np.zeros(len(stars), dtype=bool)
    if len(stars) == 0:
        return near
    tree = KDTree(stars)
    for footprint in footprints:
        middle, radius = _cap(unit_vectors(*footprint), 20)
        near[tree.query_ball_point(middle, 2.0 * np.sin((radius + np.radians(margin)) / 2.0))] = True
    return near
