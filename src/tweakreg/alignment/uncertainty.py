"""How well the corrections are known, from the residuals of the fits."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from tweakreg.alignment.fit import directions
from tweakreg.alignment.solver import Component
from tweakreg.plane import Floats
from tweakreg.records import Fit, Match, affine_design


def covariances(component: Component, tie: tuple[Match, Fit] | None) -> dict[str, Floats]:
    """Covariances of the corrections of groups that hold together.

    Parameters
    ----------
    component : Component
        Groups that hold together.
    tie : (Match, Fit) or None
        Of their stars to the reference catalog.

    Returns
    -------
    dict of group to (6, 6) float array
        With a tie, relative to the catalog; without, relative to the reference group.

    Notes
    -----
    A fit's residuals hold the noise of the group and that of the stars it was matched
    with, each the mean of k detections, so that the group's own part of the covariance
    C is ``N = C / (1 + 1 / k)``. Relative to what it was matched with, whose noise is taken to be the
    same, a group's error is 2 N. What it was matched with is itself off by the errors of the groups that it consists
    of, see `_Web`, so that errors add up along a chain.

    The tie's residuals hold the noise of the catalog and of the n-fold mean of the
    detections. The tie takes the mean, over its stars, of what the groups are off; what a group is off beyond that is
    left, and of its own noise ``(1 - 1 / n) N`` in the part of the group that others see too: the rest of its stars is
    in no fit but the tie.
    """
    web = _Web.of(component)
    if tie is None:
        found = np.einsum("gl,lij->gij", web.behind**2, 2.0 * web.own) + 2.0 * web.own
        found[0] = 0.0
    else:
        share = (1.0 - 1.0 / len(web.names)) * web.shares
        found = tie[1].covariance + share[:, None, None] * web.own + web.beyond_the_mean(component, *tie)
    return dict(zip(web.names, found, strict=True))


@dataclass(frozen=True, slots=True, kw_only=True)
class _Web:
    """How the errors of groups that were put to each other depend on each other.

    A group is off by the weighted mean of its neighbours, and each of these by its own error of covariance 2 N. Where
    a neighbour's stars were matched with the same others before, they are as well placed as those: its error counts
    for the share that only it had seen.

    Attributes
    ----------
    names : list of str
        The G groups in the order in which they were placed; the first is the reference.
    own : (G, 6, 6) float array
        Covariance N of each group's noise.
    behind : (G, G) float array
        By how much what a group was matched with is off for the error of each group.
    shares : (G,) float array
        Part of the group's area that other groups see.
    """

    names: list[str]
    own: Floats
    behind: Floats
    shares: Floats

    @classmethod
    def of(cls, component: Component) -> _Web:
        names = list(component.corrections)
        row = {name: index for index, name in enumerate(names)}
        own = np.zeros((len(names), 6, 6))
        behind = np.zeros((len(names), len(names)))
        for name, place in component.placings.items():
            fit = component.results[name].fit
            assert fit is not None
            own[row[name]] = fit.covariance / (1.0 + place.scatter)
            for neighbour, weight in place.neighbours.items():
                behind[row[name]] += weight * behind[row[neighbour]]
                if neighbour != component.reference:
                    behind[row[name], row[neighbour]] += weight * np.sqrt(place.seen_once)
        shares = np.ones(len(names))
        for name, place in component.placings.items():
            shares[row[name]] = place.share
        if component.placings:  # of the reference, nothing else is known
            own[0], shares[0] = own[1:].mean(axis=0), shares[1:].mean()
        return cls(names=names, own=own, behind=behind, shares=shares)

    def beyond_the_mean(self, component: Component, match: Match, tie: Fit) -> Floats:
        """What puts the stars of each group off, less the mean that the tie took: covariance (G, 6, 6).

        With amplitudes Q of the errors E of the groups l, and B the part of the tie that the stars of a group have,
        the tie takes ``T_l``, the sum over the groups of ``Q_gl B_g``, and a group keeps
        ``sum over l of (Q_gl - T_l) E_l (Q_gl - T_l)'``.
        """
        errors = 2.0 * self.own
        apart = np.sqrt(1.0 - self.shares)
        apart[0] = 0.0  # the others are off against it
        amplitude = self.behind + np.diag(apart)
        parts = _parts(component, match, tie)
        taken = np.einsum("gl,gij->lij", amplitude, parts)
        crossed = np.einsum("gl,lij->gij", amplitude, taken @ errors)
        common = np.sum(taken @ errors @ taken.transpose(0, 2, 1), axis=0)
        own = np.einsum("gl,lij->gij", amplitude**2, errors)
        return np.asarray(own - crossed - crossed.transpose(0, 2, 1) + common)


def _parts(component: Component, match: Match, tie: Fit) -> Floats:
    """How the tie changes if the stars of a group are off by an affine, (G, 6, 6): they add up to one."""
    weight = (np.ones(len(match)) if match.weight is None else match.weight) * tie.used
    turns = directions(tie.affine, tie.geometry)
    design = affine_design(match.image_xy)
    jacobian = np.einsum("nki,pi->nkp", design, turns)
    normal = np.linalg.pinv(np.einsum("n,nkp,nkq->pq", weight, jacobian, jacobian), hermitian=True)
    row_of = np.full(len(component.stars.detections), -1)
    row_of[match.image_index[tie.used]] = np.flatnonzero(tie.used)
    share = weight / component.stars.detections[match.image_index]
    parts = []
    for name in component.corrections:
        stars = component.seen[name]
        mine = row_of[stars[stars >= 0]]
        mine = mine[mine >= 0]
        parts.append(turns.T @ normal @ np.einsum("n,nkp,nki->pi", share[mine], jacobian[mine], design[mine]))
    return np.array(parts)
