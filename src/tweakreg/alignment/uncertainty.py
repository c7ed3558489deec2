"""How well the corrections are known, from the residuals of the fits."""

from __future__ import annotations

import numpy as np

from tweakreg.alignment.solver import Component
from tweakreg.plane import Floats
from tweakreg.records import Fit


def covariances(component: Component, tie: Fit | None) -> dict[str, Floats]:
    """Covariances of the corrections of groups that hold together.

    Parameters
    ----------
    component : Component
        Groups that hold together.
    tie : Fit or None
        Of their stars to the reference catalog.

    Returns
    -------
    dict of group to (6, 6) float array
        With a tie, relative to the catalog; without, relative to the reference group.

    Notes
    -----
    A fit's residuals hold the noise of the group and that of the stars it was matched
    with, each the mean of k detections, so that the group's own part of the covariance
    C is ``N = C / (1 + 1 / k)``. Relative to its parent, whose noise is taken to be the
    same, it is 2 N, and errors add up along a chain.

    The tie's residuals hold the noise of the catalog and of the n-fold mean of the
    detections. The mean offset of the detections of the reference group is in the tie
    and in every other group's correction with opposite signs and cancels; what is left
    of a group is its own noise, ``C_tie + (1 - 1 / n) N``.
    """
    own = {
        name: result.fit.covariance / (1.0 + 1.0 / component.depths[name])
        for name, result in component.results.items()
        if result.fit is not None
    }
    own[component.reference] = np.mean(list(own.values()), axis=0) if own else np.zeros((6, 6))
    chained = {component.reference: np.zeros((6, 6))}
    for name, parent in component.parents.items():
        chained[name] = chained[parent] + 2.0 * own[name]
    if tie is None:
        return chained
    share = 1.0 - 1.0 / len(component.corrections)
    return {
        name: tie.covariance + share * own[name] + chained[component.parents.get(name, component.reference)]
        for name in component.corrections
    }
