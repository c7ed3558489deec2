"""The whole alignment: relative, then absolute."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace

import numpy as np

from tweakreg.alignment.register import register
from tweakreg.alignment.sequential import Component, Group, align_relative, make_groups
from tweakreg.alignment.uncertainty import covariances
from tweakreg.plane import TangentPlane
from tweakreg.records import Alignment, Outcome, PlaneImage, Sources, Stage, StageConfig, StageResult


def align(
    images: Sequence[PlaneImage],
    plane: TangentPlane,
    relative: StageConfig,
    absolute: StageConfig | None = None,
    reference: Sources | None = None,
    *,
    by_epoch: Mapping[str, Sources] | None = None,
    reference_problem: str = "",
    enforce_user_order: bool = False,
    expand_refcat: bool = False,
    on_placed: Callable[[], None] = lambda: None,
) -> Alignment:
    """Align images to each other and, if asked for, to a reference catalog.

    Parameters
    ----------
    images : sequence of PlaneImage
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
        See `tweakreg.alignment.sequential.align_relative`.
    on_placed : callable
        Called for each group whose place is found.

    Returns
    -------
    Alignment
        Corrections only where they are to be applied: the largest set of groups that
        hold together, and every set that the reference catalog ties.
    """
    groups = make_groups(images)

    def together(images: Sequence[PlaneImage], groups: list[Group], on_placed: Callable[[], None]) -> list[Component]:
        order = {"enforce_user_order": enforce_user_order, "expand_refcat": expand_refcat}
        return align_relative(images, groups, relative, **order, on_placed=on_placed)

    components = together(images, groups, on_placed)
    relative_results = _relative_results(groups, components, relative)
    corrections = dict(components[0].corrections) if components else {}
    known = covariances(components[0], None) if components else {}
    stars = components[0].stars.sources_with_errors if components else None
    if absolute is None:
        absolute_results = {
            group.name: StageResult(stage=Stage.ABSOLUTE, outcome=Outcome.NOT_REQUESTED) for group in groups
        }
    else:
        parts = [
            (part, catalog)
            for names, catalog in _epochs(groups, by_epoch)
            for part in together(
                [image for image in images if image.group in names],
                [group for group in groups if group.name in names],
                lambda: None,
            )
        ]
        absolute_results = {}
        tied: list[Sources] = []
        for part, names, tie in _ties(components, parts, groups, absolute, reference, reference_problem):
            absolute_results.update(dict.fromkeys(names, tie))
            if tie.outcome is not Outcome.ALIGNED or tie.fit is None:
                continue
            errors = covariances(part, tie.fit)
            for name in names:
                corrections[name], known[name] = tie.fit.affine.after(part.corrections[name]), errors[name]
                relative_results[name] = _excused(relative_results[name])
            if len(names) == len(part.corrections) and components[0].corrections.keys() & names:
                tied.append(part.stars.sources_with_errors.moved(tie.fit.affine))
        stars = Sources.joined(tied, components[0].stars.name) if tied else stars
    return Alignment(
        plane=plane,
        relative=relative_results,
        absolute=absolute_results,
        corrections=corrections,
        covariances=known,
        stars=stars,
    )


def _epochs(groups: list[Group], by_epoch: Mapping[str, Sources] | None) -> list[tuple[set[str], Sources]]:
    """The groups of each epoch and their catalog; nothing if all are of one epoch."""
    catalogs = {} if by_epoch is None else {id(by_epoch[group.name]): by_epoch[group.name] for group in groups}
    if by_epoch is None or len(catalogs) < 2:
        return []
    return [
        ({group.name for group in groups if id(by_epoch[group.name]) == key}, catalog)
        for key, catalog in catalogs.items()
    ]


def _ties(
    components: list[Component],
    parts: list[tuple[Component, Sources]],
    groups: list[Group],
    config: StageConfig,
    reference: Sources | None,
    problem: str,
) -> Iterator[tuple[Component, list[str], StageResult]]:
    """Fit stars to the catalog: groups that hold together, which of them it is for, and how it ended.

    Where the stars move, the groups of each epoch are fitted on their own, aligned to each other without those
    of other epochs, whose stars are elsewhere. Where that fails for want of stars, what all epochs say together
    is better than nothing.
    """
    by_name = {group.name: group for group in groups}
    left = set(by_name)
    for part, its_catalog in parts:
        tie = _tie(part, by_name, config, its_catalog, problem)
        if tie.outcome is Outcome.ALIGNED:
            left -= part.corrections.keys()
            yield part, list(part.corrections), tie
    catalogs: dict[str, Sources | None] = dict.fromkeys(by_name, reference)
    catalogs |= {name: catalog for part, catalog in parts for name in part.corrections}
    for component in components:
        names = [name for name in component.corrections if name in left]
        # The stars of all epochs stand where the reference group saw them: each epoch goes by its own catalog.
        for key in dict.fromkeys(id(catalogs[name]) for name in names):
            of_epoch = [name for name in names if id(catalogs[name]) == key]
            catalog = catalogs[of_epoch[0]]
            yield component, of_epoch, _tie(component, by_name, config, catalog, problem)


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
    why = result.outcome.brief
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
