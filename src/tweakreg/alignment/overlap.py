"""Which groups of images overlap, and by how much."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence

import numpy as np
import shapely
from scipy import sparse
from scipy.sparse import csgraph

from tweakreg.plane import Floats
from tweakreg.records import PlaneImage

#: Images of a group of which one covers more than this share of another are no detectors of one exposure.
_DITHERS = 0.3


def group_outlines(images: Sequence[PlaneImage]) -> dict[Hashable, shapely.Geometry]:
    """Union of the footprints of each group on the common plane, arcsec."""
    polygons: dict[str, list[shapely.Geometry]] = {}
    for image in images:
        polygons.setdefault(image.group, []).append(outline(image))
    return {group: shapely.union_all(parts) for group, parts in polygons.items()}


def outline(image: PlaneImage) -> shapely.Geometry:
    """Footprint of an image on the common plane, arcsec."""
    return shapely.make_valid(shapely.Polygon(image.footprint))


def overlap_areas(outlines: Mapping[Hashable, shapely.Geometry]) -> Floats:
    """Areas common to each pair of outlines, (N, N) square arcsec, 0 on the diagonal.

    A tree of bounding boxes finds the pairs, so the polygons of distant groups are
    never compared.
    """
    shapes = np.array(list(outlines.values()), dtype=object)
    first, second = shapely.STRtree(shapes).query(shapes, predicate="intersects")
    upper = first < second
    first, second = first[upper], second[upper]
    areas = np.zeros((len(shapes), len(shapes)))
    areas[first, second] = shapely.area(shapely.intersection(shapes[first], shapes[second]))
    return areas + areas.T


def lie_on_each_other(images: Sequence[PlaneImage]) -> bool:
    """Whether some image covers so much of another that they are no detectors of one exposure."""
    shapes: dict[Hashable, shapely.Geometry] = {index: outline(image) for index, image in enumerate(images)}
    own = np.array([shape.area for shape in shapes.values()])
    return bool((overlap_areas(shapes) > _DITHERS * own[:, None]).any())


def largest_component(areas: Floats) -> list[int]:
    """Indices of the largest set of groups that are connected through overlaps; of equals the first."""
    n_components, label = csgraph.connected_components(sparse.csr_matrix(areas > 0.0), directed=False)
    sizes = np.bincount(label, minlength=n_components)
    return [int(i) for i in np.flatnonzero(label == label[np.argmax(sizes[label])])]
