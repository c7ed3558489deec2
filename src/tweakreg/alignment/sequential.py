"""Relative alignment: one group after another to what is already aligned."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from tweakreg.alignment.merge import MergedCatalog
from tweakreg.alignment.overlap import group_outlines, largest_component, outline, overlap_areas
from tweakreg.alignment.register import register
from tweakreg.alignment.solver import Component, Group, Order, Placing
from tweakreg.plane import Floats
from tweakreg.records import Affine, Match, Outcome, PlaneImage, Sources, StageConfig, StageResult

#: Within a group, whose images keep their places to each other, detections this near are one star.
_SAME_STAR_PIXELS = 2.0
#: A star with fewer detections was seen by one group.
_TWICE = 1.5


def make_groups(images: Sequence[PlaneImage]) -> list[Group]:
    """Join the catalogs of the images of each group, in the order of the images."""
    members: dict[str, list[PlaneImage]] = {}
    for image in images:
        members.setdefault(image.group, []).append(image)
    return [
        Group(
            name=name,
            sources=_group_sources(parts, name),
            footprint=np.concatenate([image.footprint for image in parts]),
            pixel_scale=min(image.pixel_scale for image in parts),
        )
        for name, parts in members.items()
    ]


def _group_sources(images: list[PlaneImage], name: str) -> Sources:
    """The sources of all images; a star that several images of the group see counts once."""
    scale = max(image.pixel_scale for image in images)
    catalogs = [image.sources for image in images]
    if all(area <= 0.0 for area in overlap_areas({i: outline(each) for i, each in enumerate(images)}).ravel()):
        return Sources.joined(catalogs, name=name)
    stars = MergedCatalog(catalogs[0])
    for catalog in catalogs[1:]:
        stars.add(catalog, _SAME_STAR_PIXELS * scale)
    return replace(stars.sources, name=name)


def align_sequentially(
    images: Sequence[PlaneImage],
    groups: Sequence[Group],
    config: StageConfig,
    order: Order,
    on_placed: Callable[[], None] = lambda: None,
) -> list[Component]:
    """Align one group after another to what is already aligned; see `tweakreg.alignment.solver.Solver`."""
    outlines = group_outlines(images)
    own = np.array([outlines[group.name].area for group in groups])
    queue = _Queue(groups, overlap_areas(outlines), own, order.enforce_user_order, order.expand_refcat)
    remaining = list(range(len(groups)))
    components: list[Component] = []
    while remaining:
        component = _grow(queue, remaining, config, on_placed)
        components.append(component)
        remaining = [i for i in remaining if groups[i].name not in component.corrections]
    return sorted(components, key=lambda component: -len(component.corrections))


@dataclass(frozen=True, slots=True)
class _Queue:
    """Which group comes first, and which next."""

    groups: Sequence[Group]
    areas: Floats
    own: Floats
    enforce_user_order: bool
    expand_refcat: bool

    def first(self, among: list[int], minobj: int) -> int:
        """The reference.

        With a fixed reference catalog, or in the user's order, it is the first group;
        a group without enough sources, or outside the largest set of overlapping
        groups, is no use as one. With a growing catalog it is the one of the pair with
        most overlap that overlaps the others more.
        """
        usable = [i for i in among if len(self.groups[i].sources) >= minobj] or among
        if self.enforce_user_order:
            return usable[0]
        areas = self.areas[np.ix_(usable, usable)]
        usable_set = largest_component(areas)
        if not self.expand_refcat or areas.max() <= 0.0:
            return usable[usable_set[0]]
        pair = np.unravel_index(np.argmax(areas), areas.shape)
        return usable[max(pair, key=lambda i: areas[i].sum())]

    def next(self, candidates: list[int], members: list[int]) -> int:
        """The candidate to align next: in the user's order, or the one with most overlap."""
        if self.enforce_user_order or not self.expand_refcat:
            return candidates[0]
        return max(candidates, key=lambda i: (self.areas[i, members].sum(), -i))

    def placing(self, chosen: int, members: list[int], component: Component, match: Match) -> Placing:
        """What a group was put next to, if it was matched with the stars of these members."""
        areas = self.areas[chosen, members]
        alone = len(members) == 1
        # Stars of one group alone were seen once, whoever saw them since.
        times = np.ones(1) if alone else component.stars.detections[match.reference_index]
        return Placing(
            neighbours={
                self.groups[member].name: float(area / areas.sum())
                for member, area in zip(members, areas, strict=True)
                if area > 0.0
            },
            scatter=float(np.mean(1.0 / times)),
            seen_once=float(np.mean(times < _TWICE)),
            share=float(min(1.0, areas.sum() / self.own[chosen])),
        )


def _grow(queue: _Queue, remaining: list[int], config: StageConfig, on_placed: Callable[[], None]) -> Component:
    """Start from a reference and add every group that can be aligned to it or to what was added."""
    groups, areas = queue.groups, queue.areas
    start = queue.first(remaining, config.minobj)
    reference = groups[start]
    component = Component(
        reference=reference.name,
        stars=MergedCatalog(reference.sources),
        corrections={reference.name: Affine()},
        seen={reference.name: np.arange(len(reference.sources))},
    )
    members = [start]
    on_placed()
    pending = [i for i in remaining if i != start]
    neighbours_tried = dict.fromkeys(pending, 0)
    while True:
        neighbours = {i: int((areas[i, members] > 0.0).sum()) for i in pending}
        candidates = [i for i in pending if neighbours[i] > neighbours_tried[i]]
        if not candidates:
            return component
        chosen = queue.next(candidates, members)
        neighbours_tried[chosen] = neighbours[chosen]
        group = groups[chosen]
        fixed = None if queue.expand_refcat or areas[chosen, start] <= 0.0 else reference.sources
        result, grown = _attempt(group, fixed, component.stars, config)
        if result.outcome is not Outcome.ALIGNED or result.fit is None or result.match is None:
            component.refused[group.name] = result
            continue
        component.refused.pop(group.name, None)
        component.results[group.name] = result
        component.corrections[group.name] = result.fit.affine
        component.placings[group.name] = queue.placing(chosen, members if grown else [start], component, result.match)
        component.seen[group.name] = component.stars.add(group.sources.moved(result.fit.affine), result.match.radius)
        members.append(chosen)
        on_placed()
        pending.remove(chosen)


def _attempt(
    group: Group, fixed: Sources | None, stars: MergedCatalog, config: StageConfig
) -> tuple[StageResult, bool]:
    """Match with the reference group's stars where it overlaps, then with all stars; whether these were it."""
    if fixed is not None:
        result = register(group.sources, fixed, config, group.pixel_scale, group.footprint)
        if result.outcome is Outcome.ALIGNED or len(stars.sources) == len(fixed):
            return result, False
    return register(group.sources, stars.sources, config, group.pixel_scale, group.footprint), True
