"""What a solver is: how groups of images are put to each other."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from tweakreg.alignment.merge import MergedCatalog
from tweakreg.plane import Floats, Ints
from tweakreg.records import Affine, PlaneImage, Sources, StageConfig, StageResult


@dataclass(frozen=True, slots=True, kw_only=True)
class Group:
    """Images that receive one correction, as one catalog.

    Attributes
    ----------
    name : str
        Of the group.
    sources : Sources
        Those of all of its images; a star that several of them see counts once.
    footprint : (V, 2) float array
        Vertices of all of its images on the common plane, arcsec.
    pixel_scale : float
        The smallest of its images', arcsec.
    """

    name: str
    sources: Sources
    footprint: Floats
    pixel_scale: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """In which order groups are taken, and what they are matched with; the parameters of these names.

    Attributes
    ----------
    enforce_user_order : bool
        Take the first group as reference and the others in their order.
    expand_refcat : bool
        Match with all stars seen so far. Otherwise a group that overlaps the reference
        group is matched with that group's stars, and with all stars only if this fails
        or they do not overlap, so that a chain of overlaps holds together.
    """

    enforce_user_order: bool = False
    expand_refcat: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Placing:
    """What a group was put next to.

    Attributes
    ----------
    neighbours : mapping of group to float
        The groups with which it was matched, and the part of the match that each has; they add up to one.
    scatter : float
        Variance of the places it was matched with, in units of that of one detection: the mean inverse number of
        detections.
    seen_once : float
        Share of the stars it was matched with that only one group had seen.
    share : float
        Part of its area that its neighbours cover.
    """

    neighbours: Mapping[str, float]
    scatter: float
    seen_once: float
    share: float


@dataclass(slots=True, kw_only=True)
class Component:
    """Groups that are aligned to each other, and their stars.

    Attributes
    ----------
    reference : str
        The group whose pointing defines that of the others.
    stars : MergedCatalog
        All stars of its groups, corrected.
    corrections : dict of group to Affine
        Of every group in it; the identity for the reference.
    results : dict of group to StageResult
        How each of them but the reference was aligned.
    placings : dict of group to Placing
        What each of them but the reference was put next to.
    seen : dict of group to (N,) int array
        Which of the stars each of its detections is; -1 for none.
    refused : dict of group to StageResult
        Why groups that were tried did not join.
    """

    reference: str
    stars: MergedCatalog
    corrections: dict[str, Affine]
    results: dict[str, StageResult] = field(default_factory=dict)
    placings: dict[str, Placing] = field(default_factory=dict)
    seen: dict[str, Ints] = field(default_factory=dict)
    refused: dict[str, StageResult] = field(default_factory=dict)

    @property
    def alone(self) -> bool:
        """Whether no other group joined the reference."""
        return len(self.corrections) == 1


class Solver(Protocol):
    """A way to align groups to each other.

    It is given groups and gives back components: every group is in exactly one, the one with most groups comes first,
    and of equals the one that was found first. A group that could not be aligned is a component of its own; why, is in
    `Component.refused` of a component that it was tried with, and its stars are in no other component. It raises
    nothing for what images hold: a fit that cannot be made or is not believed is a result. It changes nothing that
    it is given, and gives the same for the same input, whatever the process. Both stages use it: the relative one, and
    the absolute one for the groups of one epoch.
    """

    def __call__(
        self,
        images: Sequence[PlaneImage],
        groups: Sequence[Group],
        config: StageConfig,
        order: Order,
        on_placed: Callable[[], None],
    ) -> list[Component]:
        """Align groups.

        Parameters
        ----------
        images : sequence of PlaneImage
            Those of the groups, for their outlines.
        groups : sequence of Group
            In the user's order.
        config : StageConfig
            Parameters of matching and fitting.
        order : Order
            Which group comes first, and what the others are matched with.
        on_placed : callable
            To be called for each group whose place is found.
        """
