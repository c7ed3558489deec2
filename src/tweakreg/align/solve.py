"""The whole alignment: relative, then absolute."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

import numpy as np

from tweakreg.align.register import register
from tweakreg.align.sequential import Component, Group, align_relative, make_groups
from tweakreg.align.uncertainty import covariances
from tweakreg.plane import TangentPlane
from tweakreg.types import Affine, Alignment, Image, Outcome, Sources, Stage, StageConfig, StageResult


def align(
    images: Sequence[Image],
    plane: TangentPlane,
    relative: StageConfig,
    absolute: StageConfig | None = None,
    reference: Sources | None = None,
    *,
    by_epoch: Mapping[str, Sources] | None = None,
    reference_problem: str = "",
    enforce_user_order: bool = False,
    expand_refcat: bool = False,
    settled: Callable[[], None] = lambda: None,
) -> Alignment:
    """Align images to each other and, if asked for, to a reference catalog.

    Parameters
    ----------
    images : sequence of Image
        Positions and footprints on `plane`.
    plane : TangentPlane
    relative : StageConfig
    absolute : StageConfig, optional
        Without it only the relative stage is done.
    reference : Sources, optional
        The reference catalog on `plane`; None with `absolute` means that it could not be had.
    by_epoch : mapping of group to Sources, optional
        The reference catalog at the epoch of each group, where its stars move: groups of one epoch share
        one object, and are tied to it on their own; with `reference`, all together, where that fails.
    reference_problem : str
        Why there is no reference catalog.
    enforce_user_order, expand_refcat : bool
        See `tweakreg.align.sequential.align_relative`.
    settled : callable
        Called for each group whose place is found.

    Returns
    -------
    Alignment
        Corrections only where they are to be applied: the largest set of groups that
        hold together, and every set that the reference catalog ties.
    """
    groups = make_groups(images)
    components = align_relative(
        images,
        groups,
        relative,
        enforce_user_order=enforce_user_order,
        expand_refcat=expand_refcat,
        settled=settled,
    )
    relative_results = _relative_results(groups, components, relative)
    if absolute is None:
        results = {group.name: StageResult(stage=Stage.ABSOLUTE, outcome=Outcome.NOT_REQUESTED) for group in groups}
        return Alignment(
            plane=plane,
            relative=relative_results,
            absolute=results,
            corrections=dict(components[0].corrections) if components else {},
            covariances=covariances(components[0], None) if components else {},
            stars=components[0].stars.sources_with_errors if components else None,
        )

    absolute_results: dict[str, StageResult] = {}
    corrections = dict(components[0].corrections) if components else {}
    known = covariances(components[0], None) if components else {}
    stars = components[0].stars.sources_with_errors if components else None
    by_name = {group.name: group for group in groups}
    for component in components:
        moved = []
        for part, catalog in _parts(component, by_name, reference, by_epoch):
            tie = _tie(part, by_name, absolute, catalog, reference_problem)
            if tie.outcome is not Outcome.ALIGNED and catalog is not reference:
                # Few stars: what those of the other epochs say is better than nothing.
                tie = _tie(component, by_name, absolute, reference, reference_problem)
            absolute_results.update(dict.fromkeys(part.corrections, tie))
            if tie.outcome is not Outcome.ALIGNED or tie.fit is None:
                continue
            moved.append((part, tie.fit.affine))
            known.update(covariances(part, tie.fit))
            for name, correction in part.corrections.items():
                corrections[name] = tie.fit.affine.after(correction)
                relative_results[name] = _excused(relative_results[name])
        if component is components[0] and moved:
            stars = _stars(moved)
    return Alignment(
        plane=plane,
        relative=relative_results,
        absolute=absolute_results,
        corrections=corrections,
        covariances=known,
        stars=stars,
    )


def _parts(
    component: Component,
    groups: dict[str, Group],
    reference: Sources | None,
    by_epoch: Mapping[str, Sources] | None,
) -> list[tuple[Component, Sources | None]]:
    """The component, or its parts of one epoch, each with the catalog that it is tied to."""
    if by_epoch is None:
        return [(component, reference)]
    catalogs = {id(by_epoch[name]): by_epoch[name] for name in component.corrections}
    if len(catalogs) == 1:
        return [(component, next(iter(catalogs.values())))]
    parts: list[tuple[Component, Sources | None]] = []
    for key, catalog in catalogs.items():
        names = [name for name in component.corrections if id(by_epoch[name]) == key]
        parts.append((component.part(names, groups), catalog))
    return parts


def _stars(moved: list[tuple[Component, Affine]]) -> Sources:
    """The stars of all parts, each where its epoch saw it."""
    if len(moved) == 1:
        part, affine = moved[0]
        return part.stars.sources_with_errors.moved(affine)
    return Sources.joined(
        [part.stars.sources_with_errors.moved(affine) for part, affine in moved], moved[0][0].stars.name
    )


def _relative_results(groups: list[Group], components: list[Component], config: StageConfig) -> dict[str, StageResult]:
    """What became of each group in the relative stage: only the first component counts as aligned."""
    if not components:
        return {}
    main = components[0]
    alone = len(main.corrections) == 1

    def reason(group: Group) -> StageResult:
        if len(groups) == 1:
            return StageResult(stage=Stage.RELATIVE, outcome=Outcome.NOT_NEEDED)
        if len(group.sources) < config.minobj:
            detail = f"{len(group.sources)} of {config.minobj} sources"
            return StageResult(stage=Stage.RELATIVE, outcome=Outcome.TOO_FEW_SOURCES, detail=detail)
        if not alone and group.name in main.results:
            return main.results[group.name]
        if group.name == main.reference and not alone:
            return StageResult(stage=Stage.RELATIVE, outcome=Outcome.REFERENCE)
        tried = [component.refused[group.name] for component in components if group.name in component.refused]
        if tried:
            return tried[0]
        if any(group.name == component.reference and component.refused for component in components):
            return StageResult(stage=Stage.RELATIVE, outcome=Outcome.NOTHING_ALIGNED)
        apart = max((len(c.corrections) for c in components if group.name in c.corrections), default=1)
        if apart > 1:
            detail = f"{apart} groups that hold together, apart from {len(main.corrections)} others"
            return StageResult(stage=Stage.RELATIVE, outcome=Outcome.NOT_TIED, detail=detail)
        return StageResult(stage=Stage.RELATIVE, outcome=Outcome.NO_OVERLAP)

    return {group.name: reason(group) for group in groups}


def _excused(result: StageResult) -> StageResult:
    """A group that the reference catalog ties need not be tied to the others as well."""
    tied = {Outcome.ALIGNED, Outcome.REFERENCE, Outcome.NOT_NEEDED, Outcome.NO_OVERLAP}
    if result.outcome in tied:
        return result
    why = result.outcome.sentence.split(":")[0]
    detail = f"{why} ({result.detail})" if result.detail else why
    return replace(result, outcome=Outcome.NOT_TIED, detail=detail)


def _tie(
    component: Component,
    groups: dict[str, Group],
    config: StageConfig,
    reference: Sources | None,
    problem: str,
) -> StageResult:
    """Fit the stars of a component to the reference catalog."""
    if reference is None:
        return StageResult(stage=Stage.ABSOLUTE, outcome=Outcome.NO_REFERENCE, detail=problem)
    members = [groups[name] for name in component.corrections]
    footprint = np.concatenate([component.corrections[group.name](group.footprint) for group in members])
    pixel_scale = min(group.pixel_scale for group in members)
    return register(component.stars.sources, reference, config, pixel_scale, footprint)
