"""The whole alignment: relative, then absolute."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np

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
    results = _relative_results(groups, components, relative)
    main = components[0] if components else None
    corrections = {} if main is None else dict(main.corrections)
    errors = {} if main is None else covariances(main, None)
    stars = None if main is None else main.stars.sources_with_errors
    if absolute is None:
        not_asked = StageResult(stage=Stage.ABSOLUTE, outcome=Outcome.NOT_REQUESTED)
        return Alignment(
            plane=plane,
            relative=results,
            absolute={group.name: not_asked for group in groups},
            corrections=corrections,
            covariances=errors,
            stars=stars,
        )
    catalog = catalog or PlaneCatalog(sources=None)
    epochs = catalog.epochs if len(catalog.epochs) > 1 else ()
    parts = [
        (part, each.sources)
        for each in epochs
        for part in solver(
            [image for image in images if image.group in each.groups],
            [group for group in groups if group.name in each.groups],
            relative,
            order,
            lambda: None,
        )
    ]
    ties = list(_ties(components, parts, groups, absolute, replace(catalog, epochs=epochs)))
    holding = [tie for tie in ties if tie.holds]
    for tie in holding:
        corrections |= tie.corrections
        errors |= tie.covariances
    tied = {name for tie in holding for name in tie.groups}
    # Only sets that are tied as a whole, and of these the main one and its epochs: they are one catalog.
    merged = [tie.stars for tie in holding if tie.whole and main is not None and main.corrections.keys() & tie.groups]
    return Alignment(
        plane=plane,
        relative={name: _excused(result) if name in tied else result for name, result in results.items()},
        absolute={name: tie.result for tie in ties for name in tie.groups},
        corrections=corrections,
        covariances=errors,
        stars=Sources.joined(merged, stars.name) if merged and stars is not None else stars,
    )


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
        known = covariances(self.component, self.result.fit)
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
        result = _tie(part, by_name, config, its_catalog, "")
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
                result = _tie(component, by_name, config, sources, catalog.problem)
                yield _Tie(component=component, groups=names, result=result)


def _relative_results(groups: list[Group], components: list[Component], config: StageConfig) -> dict[str, StageResult]:
    """What became of each group in the relative stage: only the first component counts as aligned."""
    return {group.name: _relative_result(group, len(groups), components, config) for group in groups}


def _relative_result(group: Group, n_groups: int, components: list[Component], config: StageConfig) -> StageResult:
    main = components[0]

    def ended(outcome: Outcome, words: str = "", **numbers: float) -> StageResult:
        return StageResult(stage=Stage.RELATIVE, outcome=outcome, detail=Detail(words, numbers))

    if n_groups == 1:
        return ended(Outcome.NOT_NEEDED)
    if len(group.sources) < config.minobj:
        return ended(
            Outcome.TOO_FEW_SOURCES, "{found} of {needed} sources", found=len(group.sources), needed=config.minobj
        )
    if not main.alone and group.name in main.results:
        return main.results[group.name]
    if not main.alone and group.name == main.reference:
        return ended(Outcome.REFERENCE)
    tried = [component.refused[group.name] for component in components if group.name in component.refused]
    if tried:
        return tried[0]
    if any(group.name == component.reference and component.refused for component in components):
        return ended(Outcome.NOTHING_ALIGNED)
    apart = max((len(each.corrections) for each in components if group.name in each.corrections), default=1)
    if apart > 1:
        words = "{groups} groups that hold together, apart from {others} others"
        return ended(Outcome.NOT_TIED, words, groups=apart, others=len(main.corrections))
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
    component: Component, groups: dict[str, Group], config: StageConfig, reference: Sources | None, problem: str
) -> StageResult:
    """Fit the stars of a component to the reference catalog."""
    if reference is None:
        return StageResult(stage=Stage.ABSOLUTE, outcome=Outcome.NO_REFERENCE, detail=Detail(problem))
    members = [groups[name] for name in component.corrections]
    footprint = np.concatenate([component.corrections[group.name](group.footprint) for group in members])
    pixel_scale = min(group.pixel_scale for group in members)
    return register(component.stars.sources, reference, config, pixel_scale, footprint)
