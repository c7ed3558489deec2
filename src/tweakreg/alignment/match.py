"""Matching two catalogs on the common plane: the offset first, then mutual nearest pairs."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from scipy.spatial import KDTree

from tweakreg.plane import Bools, Floats, Ints
from tweakreg.records import OffsetPeak

#: More bins than this along an axis of `OffsetPeak.counts` cannot be seen.
_MOST_BINS = 100

#: Of very many pairs, so many are held at once, near the peak, and counted in all: bounds of memory and time.
_MOST_HELD = 2_000_000
_MOST_NEAR = 5_000_000
_MOST_COUNTED = 100_000_000


def find_offset(
    image: Floats, reference: Floats, *, searchrad: float, tolerance: float, bin_size: float, start: Floats
) -> OffsetPeak | None:
    """Find the offset between two catalogs from the histogram of all their differences.

    The histogram is smoothed with boxes of growing size up to the tolerance, because
    noise and rotation spread the true pairs by an amount that is not known beforehand;
    the size whose peak is least likely by chance wins. The peak is then refined to the
    mean of its pairs, so that bins leave no bias.

    Parameters
    ----------
    image, reference : (N, 2) and (M, 2) float arrays
        Positions, arcsec.
    searchrad : float
        Offsets up to this far from `start` are considered, arcsec.
    tolerance : float
        Largest size of a peak, arcsec.
    bin_size : float
        Size of the finest bins, arcsec: about a pixel.
    start : (2,) float array
        Offset around which to search, arcsec.

    Returns
    -------
    OffsetPeak or None
        None when no pair lies within reach.
    """
    # Finer bins than this cost memory without telling more.
    bin_size = max(bin_size, searchrad / 500.0, tolerance / 500.0)
    pairs = _Pairs.of(image - start, reference, searchrad + tolerance)
    if pairs.number == 0:
        return None
    search = _Search.of(pairs, searchrad=searchrad, tolerance=tolerance, bin_size=bin_size)
    size, coarse, smooth = search.best_box()
    # A disc as large as the box and half its diagonal holds the pairs of a peak that straddles bins.
    radius = float(np.clip(size / np.sqrt(2.0), bin_size, tolerance))
    differences, each = pairs.near(coarse, 3.0 * radius)
    in_box = np.abs(differences - coarse).max(axis=1) <= (size + bin_size) / 2.0
    if not in_box.any():
        return None
    offset = _refine(differences, differences[in_box].mean(axis=0), radius)
    n_near = each * int((np.linalg.norm(differences - offset, axis=1) <= radius).sum())
    # One more than was seen: no pair elsewhere does not mean that there cannot be one.
    background = (pairs.number - n_near + 1.0) / (np.pi * (searchrad + tolerance) ** 2)
    peak = _Peak(offset=offset, radius=radius, n_pairs=n_near, expected=float(background * np.pi * radius**2))
    pooled, n_bins = _pooled(smooth)
    return OffsetPeak(
        offset=start + offset,
        radius=radius,
        n_pairs=n_near,
        expected=peak.expected,
        rival_share=search.rival_share(peak, background),
        counts=pooled,
        start=np.asarray(start, dtype=float),
        extent=0.5 * n_bins * bin_size,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Peak:
    """The offset from the start that most pairs share, the pairs within a radius, and how many are so by chance."""

    offset: Floats
    radius: float
    n_pairs: int
    expected: float


@dataclass(frozen=True, slots=True, kw_only=True)
class _Search:
    """The histogram of all differences, and which of its bins may hold the offset.

    Attributes
    ----------
    counts : (B, B) float array
        Differences in each bin, by offset to the east and north.
    centres : (B,) float array
        Of the bins along each axis, arcsec from the start.
    bin_size, tolerance : float
        arcsec.
    distance : (B, B) float array
        Of each bin from the start, arcsec.
    searched : (B, B) bool array
        Bins that may hold the offset.
    """

    counts: Floats
    centres: Floats
    bin_size: float
    tolerance: float
    distance: Floats
    searched: Bools

    @classmethod
    def of(cls, pairs: _Pairs, *, searchrad: float, tolerance: float, bin_size: float) -> _Search:
        half = int(np.ceil((searchrad + tolerance) / bin_size))
        centres = np.arange(-half, half + 1, dtype=np.float64) * np.float64(bin_size)
        distance = np.hypot(centres[:, None], centres[None, :])
        return cls(
            counts=pairs.counts(half, bin_size),
            centres=centres,
            bin_size=bin_size,
            tolerance=tolerance,
            distance=distance,
            searched=distance <= searchrad + 0.5 * bin_size,
        )

    def smoothed(self, box: int) -> Floats:
        """Pairs in a box of so many bins around each; the uniform filter leaves rounding noise."""
        smooth: Floats = np.rint(ndimage.uniform_filter(self.counts, box, mode="constant") * box**2)
        return smooth

    def best_box(self) -> tuple[float, Floats, Floats]:
        """Size and place (arcsec) of the box whose pairs chance explains least; the pairs in boxes of that size."""
        reachable = self.distance <= self.centres[-1]
        density = self.counts[reachable].sum() / (reachable.sum() * self.bin_size**2)
        candidates = []
        for box in _box_sizes(self.tolerance, self.bin_size):
            smooth = self.smoothed(box)
            # Of equal peaks the one nearest to the start wins.
            score = np.where(self.searched, smooth - 1e-3 * self.distance / self.distance.max(), -1.0)
            column, row = np.unravel_index(np.argmax(score), score.shape)
            size = box * self.bin_size
            log_chance = _log_chance(float(smooth[column, row]), max(density * size**2, 1e-9))
            log_chance += np.log(max(self.searched.sum() / box**2, 1.0))
            candidates.append((log_chance, size, np.array([self.centres[column], self.centres[row]]), smooth))
        _, size, place, smooth = min(candidates, key=lambda candidate: candidate[0])
        return size, place, smooth

    def rival_share(self, peak: _Peak, background: float) -> float:
        """Excess of the best offset that is clearly another one, as a share of the peak's excess."""
        box = max(1, round(np.sqrt(np.pi) * peak.radius / self.bin_size) | 1)
        smooth = self.smoothed(box)
        east, north = peak.offset
        apart = np.hypot(self.centres[:, None] - east, self.centres[None, :] - north)
        far = self.searched & (apart > 3.0 * peak.radius)
        if not far.any():
            return 0.0
        expected = background * (box * self.bin_size) ** 2
        # Chance alone puts several standard deviations into the highest of many cells: that is no rival.
        n_cells = max(far.sum() / box**2, 1.0)
        fluctuation = np.sqrt(2.0 * np.log(n_cells) * max(expected, 1.0))
        excess = max(smooth[far].max() - expected - fluctuation, 0.0)
        return float(excess / max(peak.n_pairs - peak.expected, 1e-9))


def _pooled(counts: Floats) -> tuple[NDArray[np.uint16], int]:
    """The highest of each block of bins, so that a peak keeps its height, and how many bins they span.

    The number of bins is odd; blocks and their number are, too, so that the middle stays where it is.
    """
    block = -(-len(counts) // _MOST_BINS) | 1
    n = -(-len(counts) // block) | 1
    # Of each image a result keeps them: a run of hundreds is not to grow by more than it must.
    padded = np.pad(np.minimum(counts, np.iinfo(np.uint16).max), (n * block - len(counts)) // 2).astype(np.uint16)
    return np.asarray(padded.reshape(n, block, n, block).max(axis=(1, 3))), n * block


@dataclass(frozen=True, slots=True, kw_only=True)
class _Pairs:
    """All pairs of an image's sources with those of the reference that are near enough.

    Attributes
    ----------
    image : (N, 2) float array
        Of the image, moved by the start, arcsec; of very many sources in a small field one in so many.
    tree : KDTree
        Of the reference.
    reach : float
        Largest distance of a pair, arcsec.
    lengths : (N,) int array
        Number of pairs of each source of the image.
    held : (P, 2) float array or None
        The differences image - reference of all pairs; None where they would take too much memory.
    """

    image: Floats
    tree: KDTree
    reach: float
    lengths: Ints
    held: Floats | None

    @classmethod
    def of(cls, image: Floats, reference: Floats, reach: float) -> _Pairs:
        """Pairs within reach, so few that they can be counted."""
        tree = KDTree(reference)
        image = image[:: _step(image, tree, reach, _MOST_COUNTED)]
        lengths = _lengths(image, tree, reach)
        held = _differences(image, tree, reach) if lengths.sum() <= _MOST_HELD else None
        return cls(image=image, tree=tree, reach=reach, lengths=lengths, held=held)

    @property
    def number(self) -> int:
        """Of all pairs."""
        return int(self.lengths.sum())

    def counts(self, half: int, bin_size: float) -> Floats:
        """The differences in square bins, of which so many lie on each side of the middle one."""
        n = 2 * half + 1
        if self.held is not None:
            edges = (np.arange(n + 1) - half - 0.5) * bin_size
            return np.asarray(np.histogram2d(self.held[:, 0], self.held[:, 1], bins=(edges, edges))[0])
        counts = np.zeros(n * n)
        for part in _parts(self.image, self.tree, self.reach, self.lengths):
            east, north = (np.rint(part / bin_size).astype(np.int32) + half).T
            counts += np.bincount(east * n + north, minlength=n * n)
        return counts.reshape(n, n)

    def near(self, place: Floats, radius: float) -> tuple[Floats, int]:
        """The differences, (P, 2), and for how many each stands: all where they are few, or those so near a place."""
        if self.held is not None:
            return self.held, 1
        moved = self.image - place
        step = _step(moved, self.tree, radius, _MOST_NEAR)
        moved = moved[::step]
        parts = _parts(moved, self.tree, radius, _lengths(moved, self.tree, radius))
        found = np.concatenate([np.empty((0, 2)), *parts]) + place
        return np.asarray(found[np.hypot(found[:, 0], found[:, 1]) <= self.reach]), step


def _step(image: Floats, tree: KDTree, reach: float, most: int) -> int:
    """Of how many sources one is taken, for no more than so many pairs: a thousand sources say how many there are."""
    few = max(len(image) // 1000, 1)
    return max(int(np.ceil(few * float(_lengths(image[::few], tree, reach).sum()) / most)), 1)


def _lengths(image: Floats, tree: KDTree, reach: float) -> Ints:
    """How many of a tree's points lie within reach of each source."""
    if len(image) == 0 or tree.n == 0:
        return np.zeros(len(image), dtype=np.intp)
    return np.asarray(tree.query_ball_point(image, reach, return_length=True))


def _differences(image: Floats, tree: KDTree, reach: float) -> Floats:
    """All differences image - reference within reach, (P, 2)."""
    if len(image) == 0 or tree.n == 0:
        return np.empty((0, 2))
    neighbours = tree.query_ball_point(image, reach)
    lengths = np.fromiter((len(found) for found in neighbours), dtype=np.intp, count=len(neighbours))
    if lengths.sum() == 0:
        return np.empty((0, 2))
    which = np.repeat(np.arange(len(image)), lengths)
    other = np.concatenate([np.asarray(found, dtype=np.intp) for found in neighbours if found])
    return np.asarray(image[which] - tree.data[other])


def _parts(image: Floats, tree: KDTree, reach: float, lengths: Ints) -> Iterator[Floats]:
    """All differences within reach, so many at once as are held; neighbours come together."""
    order = KDTree(image).indices
    ends = np.cumsum(lengths[order])
    for few in np.split(order, np.searchsorted(ends, np.arange(_MOST_HELD, ends[-1], _MOST_HELD))):
        found = KDTree(image[few]).sparse_distance_matrix(tree, reach, output_type="ndarray")
        yield np.asarray(image[few[found["i"]]] - tree.data[found["j"]])


def _box_sizes(tolerance: float, bin_size: float) -> list[int]:
    """Odd box sizes in bins, growing by about √2 up to the diameter of the tolerance."""
    largest = max(3, int(2.0 * tolerance / bin_size) | 1)
    sizes = [3]
    while sizes[-1] < largest:
        sizes.append(min(largest, int(np.ceil(sizes[-1] * 1.5)) | 1))
    return sizes


def _log_chance(n_pairs: float, expected: float) -> float:
    """Logarithm of the Poisson probability of at least n_pairs (Chernoff's bound, exact enough to rank)."""
    if n_pairs <= expected:
        return 0.0
    return float(n_pairs - expected - n_pairs * np.log(n_pairs / expected))


def _refine(differences: Floats, offset: Floats, radius: float) -> Floats:
    """Move to the mean of the differences within radius until it stays (mean shift)."""
    for _ in range(20):
        near = differences[np.linalg.norm(differences - offset, axis=1) <= radius]
        if len(near) == 0:
            break
        moved = near.mean(axis=0)
        if np.allclose(moved, offset, rtol=0.0, atol=1e-9):
            break
        offset = moved
    return offset


def mutual_pairs(image: Floats, reference: Floats, radius: float, isolation: float) -> tuple[Ints, Ints]:
    """Pairs of sources that are each other's nearest, no farther apart than radius.

    Parameters
    ----------
    image, reference : (N, 2) and (M, 2) float arrays
        Positions, arcsec.
    radius : float
        Largest distance of a pair, arcsec.
    isolation : float
        Sources with a neighbour in their own catalog nearer than this are left out, arcsec.

    Returns
    -------
    image_index, reference_index : (K,) int arrays
    """
    none = np.empty(0, dtype=np.intp)
    if len(image) == 0 or len(reference) == 0:
        return none, none
    distance, to_reference = KDTree(reference).query(image, distance_upper_bound=radius)
    candidates = np.flatnonzero(np.isfinite(distance))
    if len(candidates) == 0:
        return none, none
    _, back = KDTree(image).query(reference[to_reference[candidates]])
    candidates = candidates[back == candidates]
    pairs = candidates, to_reference[candidates]
    alone = isolated(image, isolation)[pairs[0]] & isolated(reference, isolation)[pairs[1]]
    return pairs[0][alone], pairs[1][alone]


def isolated(xy: Floats, isolation: float) -> Bools:
    """True for the sources that have no other one of their own catalog nearer than the isolation, arcsec."""
    if len(xy) < 2 or isolation <= 0.0:
        return np.ones(len(xy), dtype=bool)
    distance, _ = KDTree(xy).query(xy, k=2, distance_upper_bound=isolation)
    return np.asarray(~np.isfinite(distance[:, 1]))
