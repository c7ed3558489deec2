"""The whole alignment: relative, then absolute."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from tweakreg.alignment.examine import examined
from tweakreg.alignment.overlap import lie_on_each_other
from tweakreg.alignment.register import register
from tweakreg.alignment.sequential import align_sequentially, make_groups
from tweakreg.alignment.solver import Component, Group, Order, Solver
from tweakreg.alignment.uncertainty import covariances
from tweakreg.plane import Floats, TangentPlane
from tweakreg.records import (
    Affine,
    Alignment,
    Detail,
    Outcome,
    PlaneCatalog,
    PlaneImage,
    Sources,
    Stage,
    StageConfig,
    StageResult,
)


def align_on_plane(
    images: Sequence[PlaneImage],
    plane: TangentPlane,
    relative: StageConfig,
    absolute: StageConfig | None = None,
    catalog: PlaneCatalog | None = None,
    *,
    order: Order | None = None,
    on_placed: Callable[[], None] = lambda: None,
    solver: Solver = align_sequentially,
) -> Alignment:
    """Align images to each other and, if asked for, to a reference catalog.

    Parameters
    ----------
    images : sequence of PlaneImage
        Positions and footprints on `plane`.
    plane : TangentPlane
        The common plane.
    relative : StageConfig
        Parameters of the relative stage.
    absolute : StageConfig, optional
        Those of the absolute stage; without them only the relative stage is done.
    catalog : PlaneCatalog, optional
        The reference catalog on `plane`. Groups of one epoch are tied to it on their own; with the others, where that
        fails.
    order : Order, optional
        In which order groups are taken; by overlap if it is not given.
    on_placed : callable
        Called for each group whose place is found.
    solver : Solver
        How groups are put to each other.

    Returns
    -------
    Alignment
        Corrections only where they are to be applied: the largest set of groups that
        hold together, and every set that the reference catalog ties.
    """
    order = order or Order()
    groups = make_groups(images)
    components = solver(images, groups, relative, order, on_placed)
    before = _Before(
        components=components,
        results=_relative_results(images, groups, components, relative),
        relative=relative,
        order=order,
        solver=solver,
    )
    if absolute is None:
        return _alone(images, before, plane)
    catalog = catalog or PlaneCatalog(sources=None)
    catalog = replace(catalog, epochs=catalog.epochs if len(catalog.epochs) > 1 else ())
    if any(image.tied_as for image in images):
        return _tied_in_parts(images, before, plane, absolute, catalog)
    return _tied(images, groups, before, plane, absolute, catalog)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Before:
    """The relative alignment of whole groups, and how it was made.

    Attributes
    ----------
    components : list of Component
        Groups that hold together; the first is the largest.
    results : mapping of group to StageResult
        How each ended.
    relative : StageConfig
        Parameters of the stage.
    order : Order
        In which groups were taken.
    solver : Solver
        How they were put to each other.
    """

    components: list[Component]
    results: Mapping[str, StageResult]
    relative: StageConfig
    order: Order
    solver: Solver

    @property
    def main(self) -> Component | None:
        """The largest component; None where there is no group at all."""
        return self.components[0] if self.components else None

    @property
    def corrections(self) -> dict[str, tuple[Affine, Floats]]:
        """Correction and its covariance, relative to the reference of its set, of each group that is in a set."""
        found: dict[str, tuple[Affine, Floats]] = {}
        for each in _sets(self.components):
            errors = covariances(each, None)
            found |= {name: (affine, errors[name]) for name, affine in each.corrections.items()}
        return found

    def solve(self, images: Sequence[PlaneImage], groups: Sequence[Group], among: Collection[str]) -> list[Component]:
        """Align some groups to each other in the same way, without the others."""
        return self.solver(
            [image for image in images if image.group in among],
            [group for group in groups if group.name in among],
            self.relative,
            self.order,
            lambda: None,
        )

    @property
    def stars(self) -> Sources | None:
        """Those of the largest component."""
        return None if self.main is None else self.main.stars.sources_with_errors


def _alone(images: Sequence[PlaneImage], before: _Before, plane: TangentPlane) -> Alignment:
    """The relative alignment and nothing else."""
    not_asked = StageResult(stage=Stage.ABSOLUTE, outcome=Outcome.NOT_REQUESTED)
    kept = before.corrections
    solved = Alignment(
        plane=plane,
        relative=before.results,
        absolute=dict.fromkeys(before.results, not_asked),
        corrections={name: affine for name, (affine, _) in kept.items()},
        covariances={name: errors for name, (_, errors) in kept.items()},
        stars=before.stars,
    )
    for each in _sets(before.components):
        solved = examined(solved, images, each, before.relative, {})
    return solved


def _sets(components: Sequence[Component]) -> list[Component]:
    """Those that are aligned within themselves: the first, and others of several groups that do not reach it.

    Nothing says how sets lie to each other. One that does reach another and could not be aligned to it is none.
    """
    return [
        each
        for number, each in enumerate(components)
        if number == 0 or not (each.alone or any(_reached(each, other) for other in components if other is not each))
    ]


def _reached(one: Component, other: Component) -> bool:
    """Whether a group of one was tried with the other and refused, whichever was there first."""
    return bool(one.refused.keys() & other.corrections.keys() or other.refused.keys() & one.corrections.keys())


def _tied(
    images: Sequence[PlaneImage],
    groups: list[Group],
    before: _Before,
    plane: TangentPlane,
    config: StageConfig,
    catalog: PlaneCatalog,
) -> Alignment:
    """Whole groups tied to the catalog: sets that hold together, where the stars move those of each epoch."""
    parts = [(part, each.sources) for each in catalog.epochs for part in before.solve(images, groups, each.groups)]
    ties = list(_ties(before.components, parts, groups, config, catalog))
    main, stars = before.main, before.stars
    # Only sets that are tied as a whole, and of these the main one and its epochs: they are one catalog.
    merged = [
        tie.stars
        for tie in ties
        if tie.holds and tie.whole and main is not None and main.corrections.keys() & tie.groups
    ]
    joined = Sources.joined(merged, stars.name) if merged and stars is not None else stars
    solved = _assembled(plane, before.results, before.corrections, ties, joined)
    return examined(solved, images, None, config, _catalogs(ties, catalog))


def _assembled(
    plane: TangentPlane,
    results: Mapping[str, StageResult],
    kept: Mapping[str, tuple[Affine, Floats]],
    ties: Sequence[_Tie],
    stars: Sources | None,
) -> Alignment:
    """The alignment that the ties make of a relative one, whose corrections stay where no tie holds."""
    holding = [tie for tie in ties if tie.holds]
    tied = {name for tie in holding for name in tie.groups}
    return Alignment(
        plane=plane,
        relative={name: _excused(result) if name in tied else result for name, result in results.items()},
        absolute={name: tie.result for tie in ties for name in tie.groups},
        corrections={name: affine for name, (affine, _) in kept.items()}
        | {name: affine for tie in holding for name, affine in tie.corrections.items()},
        covariances={name: errors for name, (_, errors) in kept.items()}
        | {name: errors for tie in holding for name, errors in tie.covariances.items()},
        stars=stars,
        before_tie=kept,
    )


def _tied_in_parts(
    images: Sequence[PlaneImage], before: _Before, plane: TangentPlane, config: StageConfig, catalog: PlaneCatalog
) -> Alignment:
    """Each part of a group tied to the catalog on its own, from where the relative alignment put it.

    Parts that overlap are aligned to each other once more, so that what ties them is the mean of their detections.
    What the catalog does not tie keeps the relative correction of its group.
    """
    corrections = {name: affine for each in before.components for name, affine in each.corrections.items()}
    of_part = {image.tied_as or image.group: image.group for image in images}
    parts = [replace(image, group=image.tied_as or image.group) for image in images]
    placed = [
        replace(each, sources=each.sources.moved(affine), footprint=affine(each.footprint))
        for each in parts
        for affine in (corrections[of_part[each.group]],)
    ]
    groups = make_groups(placed)
    epochs = tuple(
        replace(each, groups=tuple(part for part, group in of_part.items() if group in each.groups))
        for each in catalog.epochs
    )
    held = [
        component
        for names in ([each.groups for each in epochs] or [tuple(of_part)])
        for component in before.solve(placed, groups, names)
    ]
    ties = list(_ties(held, [], groups, config, replace(catalog, epochs=epochs)))
    kept = {part: before.corrections[group] for part, group in of_part.items() if group in before.corrections}
    merged = [tie.stars for tie in ties if tie.holds]
    solved = _assembled(
        plane,
        {part: before.results[group] for part, group in of_part.items()},
        kept,
        ties,
        Sources.joined(merged, "exposures") if merged else before.stars,
    )
    placing = {part: corrections[of_part[part]] for tie in ties if tie.holds for part in tie.groups}
    total = {
        part: affine.after(placing[part]) if part in placing else affine for part, affine in solved.corrections.items()
    }
    whole = replace(solved, corrections=total)
    return examined(whole, parts, None, config, _catalogs(ties, replace(catalog, epochs=epochs)))


def _catalogs(ties: Sequence[_Tie], catalog: PlaneCatalog) -> dict[str, Sources]:
    """The reference catalog for each group that it ties, at the group's epoch."""
    of_epoch = {name: each.sources for each in catalog.epochs for name in each.groups}
    found = {name: of_epoch.get(name, catalog.sources) for tie in ties if tie.holds for name in tie.groups}
    return {name: sources for name, sources in found.items() if sources is not None}


@dataclass(frozen=True, slots=True, kw_only=True)
class _Tie:
    """A component tied to the reference catalog.

    Attributes
    ----------
    component : Component
        Whose stars were fitted.
    groups : tuple of str
        Those of its groups that it is for.
    result : StageResult
        How it ended.
    """

    component: Component
    groups: tuple[str, ...]
    result: StageResult

    @property
    def holds(self) -> bool:
        """Whether it is to be applied."""
        return self.result.outcome is Outcome.ALIGNED

    @property
    def whole(self) -> bool:
        """Whether it is for all groups of the component."""
        return len(self.groups) == len(self.component.corrections)

    @property
    def _affine(self) -> Affine:
        assert self.result.fit is not None
        return self.result.fit.affine

    @property
    def corrections(self) -> dict[str, Affine]:
        """Of its groups, both stages together."""
        return {name: self._affine.after(self.component.corrections[name]) for name in self.groups}

    @property
    def covariances(self) -> dict[str, Floats]:
        """Of these corrections."""
        assert self.result.match is not None
        assert self.result.fit is not None
        known = covariances(self.component, (self.result.match, self.result.fit))
        return {name: known[name] for name in self.groups}

    @property
    def stars(self) -> Sources:
        """Those of the component where the tie puts them."""
        return self.component.stars.sources_with_errors.moved(self._affine)


def _ties(
    components: list[Component],
    parts: list[tuple[Component, Sources]],
    groups: list[Group],
    config: StageConfig,
    catalog: PlaneCatalog,
) -> Iterator[_Tie]:
    """Fit stars to the catalog: groups that hold together, which of them it is for, and how it ended.

    Where the stars move, the groups of each epoch are fitted on their own, aligned to each other without those
    of other epochs, whose stars are elsewhere. Where that fails for want of stars, what all epochs say together
    is better than nothing.
    """
    by_name = {group.name: group for group in groups}
    left = set(by_name)
    for part, its_catalog in parts:
        result = _tie(part, by_name, config, its_catalog, catalog)
        if result.outcome is Outcome.ALIGNED:
            left -= part.corrections.keys()
            yield _Tie(component=part, groups=tuple(part.corrections), result=result)
    epochs: list[tuple[set[str], Sources | None]] = [(set(each.groups), each.sources) for each in catalog.epochs]
    epochs = epochs or [(set(by_name), catalog.sources)]
    for component in components:
        # The stars of all epochs stand where the reference group saw them: each epoch goes by its own catalog.
        for of_epoch, sources in epochs:
            names = tuple(name for name in component.corrections if name in left & of_epoch)
            if names:
                result = _tie(component, by_name, config, sources, catalog)
                yield _Tie(component=component, groups=names, result=result)


def _relative_results(
    images: Sequence[PlaneImage], groups: list[Group], components: list[Component], config: StageConfig
) -> dict[str, StageResult]:
    """What became of each group in the relative stage."""
    if len(groups) == 1 and lie_on_each_other(images):
        words = "{images} images that lie on each other are one group: group_by=image, or a group_id for each in the "
        words += "association, takes them apart"
        alone = StageResult(
            stage=Stage.RELATIVE, outcome=Outcome.NOT_NEEDED, detail=Detail(words, {"images": len(images)})
        )
        return {groups[0].name: alone}
    return {group.name: _relative_result(group, len(groups), components, config) for group in groups}


def _relative_result(group: Group, n_groups: int, components: list[Component], config: StageConfig) -> StageResult:

    def ended(outcome: Outcome, words: str = "", **numbers: float) -> StageResult:
        return StageResult(stage=Stage.RELATIVE, outcome=outcome, detail=Detail(words, numbers))

    if n_groups == 1:
        return ended(Outcome.NOT_NEEDED)
    if len(group.sources) < config.minobj:
        return ended(
            Outcome.TOO_FEW_SOURCES, "{found} of {needed} sources", found=len(group.sources), needed=config.minobj
        )
    sets = _sets(components)
    for number, each in enumerate(sets, start=1):
        which = Detail("set {set} of {sets}", {"set": number, "sets": len(sets)}) if len(sets) > 1 else Detail()
        if not each.alone and group.name in each.results:
            return replace(each.results[group.name], detail=which)
        if not each.alone and group.name == each.reference:
            return StageResult(stage=Stage.RELATIVE, outcome=Outcome.REFERENCE, detail=which)
    tried = [component.refused[group.name] for component in components if group.name in component.refused]
    if tried:
        return tried[0]
    if any(group.name == component.reference and component.refused for component in components):
        return ended(Outcome.NOTHING_ALIGNED)
    return ended(Outcome.NO_OVERLAP)


def _excused(result: StageResult) -> StageResult:
    """A group that the reference catalog ties need not be tied to the others as well."""
    # One that is not tied for another reason says so already.
    if result.outcome.succeeded or (result.outcome.catalog_replaces and result.outcome is not Outcome.NOT_TIED):
        return result
    why = result.outcome.brief
    words = f"{why} ({result.detail.words})" if result.detail else why
    return replace(result, outcome=Outcome.NOT_TIED, detail=Detail(words, result.detail.numbers))


def _tie(
    component: Component,
    groups: dict[str, Group],
    config: StageConfig,
    reference: Sources | None,
    catalog: PlaneCatalog,
) -> StageResult:
    """Fit the stars of a component to the reference catalog, or say why there is none."""
    if reference is None:
        return StageResult(stage=Stage.ABSOLUTE, outcome=catalog.outcome, detail=Detail(catalog.problem))
    members = [groups[name] for name in component.corrections]
    footprint = np.concatenate([component.corrections[group.name](group.footprint) for group in members])
    pixel_scale = min(group.pixel_scale for group in members)
    stars = component.stars.sources
    result = register(stars, reference, config, pixel_scale, footprint)
    if result.outcome is Outcome.ALIGNED or config.elsewhere is None:
        return result
    east, north = config.elsewhere
    # Two places are searched: each may be believed half as easily.
    again = replace(config, xoffset=east, yoffset=north, elsewhere=None, max_false_prob=config.max_false_prob / 2.0)
    second = register(stars, reference, again, pixel_scale, footprint)
    return second if second.outcome is Outcome.ALIGNED else result
