"""One catalog out of repeated detections of the same stars."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from scipy.spatial import KDTree

from tweakreg.alignment.match import mutual_pairs
from tweakreg.plane import Floats, Ints
from tweakreg.records import Sources

#: Degrees of freedom from which on repeated detections tell how much they scatter.
_ENOUGH = 20


class MergedCatalog:
    """The stars seen so far, each at the mean of its detections.

    Parameters
    ----------
    sources : Sources
        The first catalog.

    Notes
    -----
    Detections are averaged, with their weights if every catalog has them. Keeping one of
    several near-duplicates instead shifts the result towards the one that is kept: by
    0.85 standard deviations for the lowest of three.
    """

    def __init__(self, sources: Sources) -> None:
        self._weighted = sources.weight is not None
        self._weight = _weights(sources)
        self._moment = sources.xy * self._weight[:, None]
        self._detections = np.ones(len(sources))
        # Sum of squared distances from the mean, over all stars and both axes, and its degrees of freedom.
        self._scatter, self._freedom = 0.0, 0
        self.name = sources.name

    @property
    def sources(self) -> Sources:
        """Mean positions, and summed weights if all catalogs have them."""
        weight = self._weight if self._weighted else None
        return Sources(xy=self._positions, weight=weight, name=self.name)

    @property
    def detections(self) -> Floats:
        """How often each star was seen."""
        return self._detections

    @property
    def sources_with_errors(self) -> Sources:
        """The same with variances: the scatter of repeated detections, common to all stars, over their number.

        Unlike `sources` this is for the result: while groups are aligned, detections count alike.
        """
        if self.detection_variance is None:
            return self.sources
        return replace(self.sources, variance=self.detection_variance / self._detections)

    @property
    def detection_variance(self) -> float | None:
        """Variance of a detection per axis, arcsec squared; None if too few stars were seen more than once."""
        return self._scatter / self._freedom if self._freedom >= _ENOUGH else None

    @property
    def _positions(self) -> Floats:
        # A weight of zero still has a position.
        return np.asarray(self._moment / self._weight[:, None])

    def add(self, sources: Sources, radius: float) -> Ints:
        """Average in the detections within `radius` of a known star; the others are new stars.

        Parameters
        ----------
        sources : Sources
            Detections, at their corrected places.
        radius : float
            arcsec.

        Returns
        -------
        (N,) int array
            Of which star each detection is; -1 for one next to a star that another one was nearer to.
        """
        star = np.full(len(sources), -1)
        if len(sources) == 0:
            return star
        if sources.weight is None and self._weighted:
            # Weights of some catalogs only cannot be compared: the detections count alike.
            xy = self._positions
            self._weight, self._weighted = np.ones(len(xy)), False
            self._moment = xy.copy()
        weight = _weights(sources) if self._weighted else np.ones(len(sources))
        new, known = mutual_pairs(sources.xy, self._positions, radius, isolation=0.0)
        # A new value moves the sum of squares about the mean of n others by n / (n + 1) of its squared distance.
        distance = np.sum((sources.xy[new] - self._positions[known]) ** 2, axis=1)
        number = self._detections[known]
        self._scatter += float(np.sum(distance * number / (number + 1.0)))
        self._freedom += 2 * len(new)
        self._detections[known] += 1.0
        self._moment[known] += sources.xy[new] * weight[new, None]
        self._weight[known] += weight[new]
        star[new] = known
        left = np.ones(len(sources), dtype=bool)
        left[new] = False
        if left.any() and len(self._weight):
            # A detection next to a star that another one was nearer to is no star of its own.
            distance, _ = KDTree(self._positions).query(sources.xy[left])
            left[np.flatnonzero(left)[distance <= radius]] = False
        star[left] = len(self._weight) + np.arange(left.sum())
        self._moment = np.concatenate([self._moment, sources.xy[left] * weight[left, None]])
        self._weight = np.concatenate([self._weight, weight[left]])
        self._detections = np.concatenate([self._detections, np.ones(int(left.sum()))])
        return star


def _weights(sources: Sources) -> Floats:
    """Weights, or ones; zeros become tiny so that the star keeps its position."""
    if sources.weight is None:
        return np.ones(len(sources))
    return np.maximum(sources.weight, 1e-30)
