"""Each image held against the stars that it was aligned to: do its residuals have a shape, do its stars have partners?

A fit is judged by how many pairs chance would give; that says nothing of a true match that does not have the shape
of the fit: a detector out of its place, a scale that was not fitted, a distortion. Here each image is looked at on its
own, with all of its sources, also those that the fit did not use.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from scipy import stats

from tweakreg.alignment.match import mutual_pairs
from tweakreg.alignment.members import Disagreement, disagreements
from tweakreg.alignment.overlap import lie_on_each_other, outline
from tweakreg.alignment.register import extra_variance
from tweakreg.alignment.solver import Component
from tweakreg.alignment.structure import structure, unpartnered
from tweakreg.plane import MAS_PER_ARCSEC, Bools, Floats, Ints
from tweakreg.records import (
    GROUP,
    Alignment,
    Detail,
    Outcome,
    Pattern,
    PlaneImage,
    Sources,
    StageConfig,
    for_stage,
)

#: A pattern that noise makes this rarely is in the stated error; one that it makes this rarely may be a misfit.
_SIGNIFICANT, _CERTAIN = 1e-3, 1e-5
#: Partners are sought within so many radii of the match, and so many pixels at least.
_REACH, _REACH_PIXELS = 2.0, 4.0
#: So many stars without partners at least make a detector suspect.
_FEWEST = 6
#: Where so many partners were to be expected, none is telling.
_ENOUGH_EXPECTED = 10.0
#: So small a share of what was to be expected is few.
_FEW_SHARE = 0.25
#: A detector that has more than this share of what others have is where it should be, as far as partners tell.
_MOST_SHARE = 0.75


@dataclass(frozen=True, slots=True, kw_only=True)
class _Look:
    """What was seen of an image.

    Attributes
    ----------
    image : PlaneImage
        Which one.
    found : Pattern or None
        Of its residuals.
    n_partners, n_expected : int
        Its stars that found a partner, and those that might have.
    by_chance : float
        So many partners chance would give.
    stated : float
        Error that is stated for its middle, per axis, arcsec.
    """

    image: PlaneImage
    found: Pattern | None
    n_partners: int
    n_expected: int
    by_chance: float
    stated: float

    @property
    def is_tied(self) -> bool:
        """Whether it has more partners than chance gives."""
        return bool(stats.poisson.sf(self.n_partners - 1, self.by_chance) < _CERTAIN)


def examined(
    alignment: Alignment,
    images: Sequence[PlaneImage],
    component: Component | None,
    config: StageConfig,
    catalogs: Mapping[str, Sources],
) -> Alignment:
    """An alignment with what the residuals of each image say of it.

    Parameters
    ----------
    alignment : Alignment
        As solved.
    images : sequence of PlaneImage
        Before any correction.
    component : Component or None
        The groups that hold together and their stars, for a relative alignment; None for an absolute one.
    config : StageConfig
        Of the stage that is examined.
    catalogs : mapping of group to Sources
        The reference catalog at the epoch of each group that it ties.

    Returns
    -------
    Alignment
        Patterns that are significant are in it and widen the stated errors; where one is larger than ``max_misfit``,
        or a detector has no partners, the stage ends in MISFIT and is not applied.
    """
    members: dict[str, list[PlaneImage]] = {}
    for image in images:
        if image.group in alignment.corrections:
            members.setdefault(image.group, []).append(image)
    patterns: dict[tuple[str, str], Pattern] = {}
    misfits: dict[str, Detail] = {}
    seen: dict[str, list[_Look]] = {}
    for group, parts in members.items():
        if component is None and group not in catalogs:
            continue
        if component is not None and (component.alone or group not in component.corrections):
            continue
        seen[group] = list(_looks(group, parts, alignment, component, config, catalogs.get(group)))
    rates = [look.n_partners / look.n_expected for looks in seen.values() for look in looks if look.n_expected]
    for group, looks in seen.items():
        between = list(disagreements(members[group], config))
        patterns |= {(group, name): each for name, each in _patterns(looks, between).items()}
        untied = _untied(looks, max(rates, default=0.0)) if component is None else None
        reason = untied or _misfit(looks, config) or _disagree(between, looks, config)
        if reason is not None:
            misfits[group] = reason
    if component is None:
        misfits |= _carried_along(alignment, seen, misfits)
    refused = _refused(alignment, misfits, relative=component is not None)
    return replace(refused, patterns={**alignment.patterns, **patterns})


def _carried_along(alignment: Alignment, groups: Collection[str], misfits: Mapping[str, Detail]) -> dict[str, Detail]:
    """Groups that one tie moved with others, most of which do not fit: their stars are what was matched."""
    sets: dict[int, list[str]] = {}
    for group in groups:
        sets.setdefault(id(alignment.absolute[group]), []).append(group)
    words = "{misfits} of the {groups} groups that were tied to the catalog together do not fit"
    found: dict[str, Detail] = {}
    for together in sets.values():
        bad = sum(group in misfits for group in together)
        if 2 * bad > len(together):
            numbers: dict[str, float] = {"misfits": bad, "groups": len(together)}
            found |= {group: Detail(words, numbers) for group in together if group not in misfits}
    return found


def _patterns(looks: Sequence[_Look], between: Sequence[Disagreement]) -> dict[str, Pattern]:
    """What is significant in the residuals of each image of a group; of two patterns the larger one."""
    seen = [(look.image.name, look.found) for look in looks if look.found is not None]
    for each in between:
        # Nothing says which of the two is off.
        half = Pattern(variance=(each.offset / 2.0) ** 2, term="shift", probability=each.probability)
        seen += [(each.first.name, half), (each.second.name, half)]
    significant = [(name, pattern) for name, pattern in seen if pattern.probability < _SIGNIFICANT]
    found = dict(sorted(significant, key=lambda each: each[1].size))
    if found:
        # One correction for all: what is off in one image has drawn the others.
        mean = sum((each.variance for each in found.values()), np.zeros(2)) / len(looks)
        least = min(each.probability for each in found.values())
        drawn = Pattern(variance=mean, term=GROUP, probability=least)
        found |= {look.image.name: drawn for look in looks if look.image.name not in found}
    return found


def _looks(
    group: str,
    parts: Sequence[PlaneImage],
    alignment: Alignment,
    component: Component | None,
    config: StageConfig,
    catalog: Sources | None,
) -> Iterator[_Look]:
    correction = alignment.corrections[group]
    stage = alignment.relative[group] if component is not None else alignment.absolute[group]
    if component is not None:
        known = _Known.of_others(component, group)
    else:
        assert catalog is not None
        known = _Known.of_catalog(catalog)
    for image in parts:
        ours = correction(image.sources.xy)
        radius = _REACH_PIXELS * image.pixel_scale
        if stage.match is not None:
            radius = max(radius, _REACH * stage.match.radius)
        radius = min(radius, config.tolerance)
        centre = image.footprint.mean(axis=0, keepdims=True)
        stated = np.diagonal(alignment.covariance_at(group, centre)[0])
        mine, theirs = _pairs(ours, known.xy, radius, isolation=0.0 if known.fixed is not None else radius)
        residual = (known.xy[theirs] - ours[mine]) * known.stretch[theirs, None]
        # An image without sources has no partners, wherever it is.
        n_expected = min(len(ours), int(_inside(correction(image.footprint), known.xy).sum()))
        yield _Look(
            image=image,
            found=structure(
                _places(image.footprint, image.sources.xy[mine]), residual, known.weight(theirs, residual), stated
            ),
            n_partners=len(mine),
            n_expected=n_expected,
            stated=float(np.sqrt(stated.mean())),
            by_chance=len(ours) * n_expected * np.pi * radius**2 / outline(image).area,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Known:
    """Stars against which a group is held.

    Attributes
    ----------
    xy : (M, 2) float array
        Corrected, arcsec.
    stretch : (M,) float array
        A residual times this is one against what others saw, where the star is a mean that holds the detection itself.
    fixed : (M,) float array or None
        Inverse variances up to a factor.
    variance : (M,) float array or None
        Of a catalog, arcsec squared.
    """

    xy: Floats
    stretch: Floats
    fixed: Floats | None = None
    variance: Floats | None = None

    @classmethod
    def of_others(cls, component: Component, group: str) -> _Known:
        """The stars that other groups saw: one seen by no other tells nothing."""
        counts = component.stars.detections
        own = np.zeros(len(counts))
        own[component.seen[group][component.seen[group] >= 0]] = 1.0
        others = counts - own
        seen = others > 0.5
        counts, others = counts[seen], others[seen]
        return cls(xy=component.stars.sources.xy[seen], stretch=counts / others, fixed=others / (others + 1.0))

    @classmethod
    def of_catalog(cls, catalog: Sources) -> _Known:
        """The stars of the reference catalog."""
        return cls(xy=catalog.xy, stretch=np.ones(len(catalog)), variance=catalog.variance)

    def weight(self, which: Ints, residual: Floats) -> Floats | None:
        """Of residuals: those of a catalog have its variance, and what they scatter beyond."""
        if self.fixed is not None:
            return self.fixed[which]
        if self.variance is None or len(residual) == 0:
            return None
        variance = self.variance[which]
        return np.asarray(1.0 / np.maximum(variance + extra_variance(residual, variance), 1e-12))


def _pairs(ours: Floats, theirs: Floats, radius: float, isolation: float) -> tuple[Ints, Ints]:
    """As `mutual_pairs`; of a map of many groups only what lies around the image is looked at."""
    if len(ours) == 0:
        return np.empty(0, dtype=np.intp), np.empty(0, dtype=np.intp)
    margin = 2.0 * max(radius, isolation)
    low, high = ours.min(axis=0) - margin, ours.max(axis=0) + margin
    near = np.flatnonzero(((theirs >= low) & (theirs <= high)).all(axis=1))
    mine, partner = mutual_pairs(ours, theirs[near], radius, isolation)
    return mine, near[partner]


def _corners(footprint: Floats) -> Floats:
    return footprint[:: max(1, len(footprint) // 4)][:4]


def _places(footprint: Floats, xy: Floats) -> Floats:
    """Where positions are on an image, each axis from 0 to 1: affine from its corners."""
    first, second, _, last = _corners(footprint)
    axes = np.stack([second - first, last - first], axis=1)
    return np.asarray(np.linalg.solve(axes, (xy - first).T).T)


def _inside(footprint: Floats, xy: Floats) -> Bools:
    places = _places(footprint, xy)
    return np.asarray(((places > 0.01) & (places < 0.99)).all(axis=1))


def _untied(looks: Sequence[_Look], rate: float) -> Detail | None:
    """Why a group is not where the catalog has it although others that it is aligned to are, if so.

    Parameters
    ----------
    looks : sequence of _Look
        Its images.
    rate : float
        Share of the catalog's stars that have partners in the image where they have most.
    """
    expected = rate * sum(look.n_expected for look in looks)
    # Where pairs are sought far, as for stars that moved, chance gives many: few against the others is asked as well.
    many = sum(look.n_partners for look in looks) > _FEW_SHARE * expected
    if expected < _ENOUGH_EXPECTED or many or any(look.is_tied for look in looks):
        return None
    words = "{partners} of {stars} stars have partners, where others have {share:.0%}: it is not where they are, "
    words += "look for a group that is no exposure (group_id, group_by=image)"
    numbers = {
        "partners": sum(look.n_partners for look in looks),
        "stars": sum(look.n_expected for look in looks),
        "share": rate,
    }
    return Detail(words, numbers)


def _misfit(looks: Sequence[_Look], config: StageConfig) -> Detail | None:
    """Why the images of a group do not fit, if so."""
    alone = len(looks) == 1
    lonely = unpartnered(np.array([look.n_partners for look in looks]), np.array([look.n_expected for look in looks]))
    for look, chance in zip(looks, lonely, strict=True):
        missing = look.n_expected - look.n_partners
        others = [each for each in looks if each is not look]
        share = sum(each.n_partners for each in others) / max(sum(each.n_expected for each in others), 1)
        # Detectors differ in how many stars they find: one that is out of its place lacks most of its partners.
        most = look.n_partners > _MOST_SHARE * min(share, 1.0) * look.n_expected
        if chance < _CERTAIN and missing >= _FEWEST and not most:
            words = f"{look.image.name}: {{partners}} of {{stars}} stars have partners, of the others {{share:.0%}}: "
            words += _apart(look.image, [each.image for each in looks], config)
            return Detail(words, {"partners": look.n_partners, "stars": look.n_expected, "share": share})
    bad = [
        look
        for look in looks
        if look.found is not None
        and look.found.probability < _CERTAIN
        and look.found.size > config.max_misfit * look.image.pixel_scale
        and look.found.size > config.max_misfit_sigma * look.stated
    ]
    if not bad:
        return None
    worst = max(bad, key=lambda look: look.found.size if look.found is not None else 0.0)
    assert worst.found is not None
    members = [look.image for look in looks]
    what = _term_advice(worst.found.term, config) if alone else _apart(worst.image, members, config)
    words = "{images} of {total} images, up to {size:.1f} mas: " + what
    size = worst.found.size * MAS_PER_ARCSEC
    return Detail(words, {"images": len(bad), "total": len(looks), "size": size})


def _disagree(between: Sequence[Disagreement], looks: Sequence[_Look], config: StageConfig) -> Detail | None:
    """Why images of a group that lie on each other do not fit, if so."""
    sizes = [float(np.sqrt(np.mean(each.offset**2))) if each.probability < _CERTAIN else 0.0 for each in between]
    if not sizes:
        return None
    worst = between[int(np.argmax(sizes))]
    if max(sizes) <= config.max_misfit * worst.first.pixel_scale:
        return None
    words = f"{worst.first.name} and {worst.second.name} have their common stars {{size:.1f}} mas apart: "
    words += _apart(worst.second, [look.image for look in looks], config)
    return Detail(words, {"size": max(sizes) * MAS_PER_ARCSEC})


def _apart(image: PlaneImage, members: Sequence[PlaneImage], config: StageConfig) -> str:
    """What takes an image that is not where its group has it: members of one exposure hardly overlap."""
    if any(lie_on_each_other([image, each]) for each in members if each is not image):
        return (
            "exposures that lie on each other are one group: group_by=image, or a group_id for each, takes them apart"
        )
    return for_stage(
        "detectors are not where the group has them: group_by=detector aligns each on its own", config.stage
    )


def _term_advice(term: str, config: StageConfig) -> str:
    if term == "scale and rotation":
        wider = "rscale" if config.fitgeometry in ("shift", "rshift") else "general"
        return for_stage(f"a scale or skew that is not fitted: fitgeometry={wider}", config.stage)
    if term == "distortion":
        words = "a distortion: fitgeometry=general takes its largest part, a newer distortion file all of it"
        return for_stage(words, config.stage)
    return "the whole image is off: check the date of the exposure and the epoch of the catalog"


def _refused(alignment: Alignment, misfits: Mapping[str, Detail], *, relative: bool) -> Alignment:
    """Without what does not fit: a relative solution stays where the absolute one is refused."""
    corrections = dict(alignment.corrections)
    covariances = dict(alignment.covariances)
    results = dict(alignment.relative if relative else alignment.absolute)
    for group, detail in misfits.items():
        results[group] = replace(results[group], outcome=Outcome.MISFIT, detail=detail)
        before = None if relative else alignment.before_tie.get(group)
        if before is not None:
            corrections[group], covariances[group] = before
        elif not corrections[group].is_identity:
            del corrections[group], covariances[group]
    refused = replace(alignment, corrections=corrections, covariances=covariances)
    return replace(refused, relative=results) if relative else replace(refused, absolute=results)
