"""One catalog against another: offset, pairs, fit, and whether to believe it."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from scipy import stats
from scipy.spatial import KDTree

from tweakreg.alignment.fit import FREE_PARAMETERS, MIN_STARS, Clipping, combined_weight, fit_affine, fit_clipped
from tweakreg.alignment.match import find_offset, isolated, mutual_pairs
from tweakreg.alignment.trust import held_out_worsening, scan_probability
from tweakreg.errors import SingularFitError
from tweakreg.plane import MAS_PER_ARCSEC, Floats, Ints
from tweakreg.records import (
    Affine,
    Detail,
    Fit,
    Match,
    OffsetPeak,
    Outcome,
    Sources,
    StageConfig,
    StageResult,
    for_stage,
)

#: Pairs within this many standard deviations (per axis) of the fit belong to it: 4e-6 of true ones do not.
_REACH_SIGMA = 5.0
#: Median length of a two-dimensional Gaussian deviate, in standard deviations per axis.
_RAYLEIGH_MEDIAN = float(np.sqrt(2.0 * np.log(2.0)))
#: Pairs are never sought within less than this share of a pixel: centroids scatter in patterns of a
#: tenth of a pixel, and a narrower search would settle on one part of the pattern.
_MIN_RADIUS_PIXELS = 0.5
#: Where the full tolerance gives no match, a crowded field may with these shares of it.
_SHRINK = (1.0, 0.25, 0.0625)
#: A search that found nothing is tried once more, so much wider and as far as this (arcsec), to say what would work;
#: not where that would be long.
_WIDER, _WIDEST, _MOST_FOR_A_HINT = 5.0, 30.0, 4e6
#: Sources with a neighbour nearer than this many radii are ambiguous, however large the separation.
_MAX_ISOLATION = 2.0
#: A parameter beyond the offset reaches this many distinguishable values per radius of the tolerance:
#: measured on catalogs without a common star, ``benchmarks/chance_matches.py``.
_PLACES_PER_PARAMETER = 1.6
#: Pairs that chance would spread like this more often than once in a hundred times are no match.
_EVEN = 0.01
#: No position is known better than this, arcsec squared: (1 micro-arcsec)**2.
_LEAST_VARIANCE = 1e-12
#: In two dimensions one true pair of ten thousand lies farther than this many standard deviations per axis.
_FAR = 4.3


@dataclass(frozen=True, slots=True)
class _Pairs:
    image: Ints
    reference: Ints
    radius: float


def register(
    image: Sources, reference: Sources, config: StageConfig, pixel_scale: float, footprint: Floats
) -> StageResult:
    """Match an image's sources with the reference and fit the correction.

    Parameters
    ----------
    image, reference : Sources
        On the common plane.
    config : StageConfig
        Parameters of matching and fitting.
    pixel_scale : float
        arcsec per pixel of the image.
    footprint : (V, 2) float array
        Vertices of the image on the common plane, arcsec.

    Returns
    -------
    StageResult
        ALIGNED with match and fit, or the reason why not; a fit that was made but
        not believed is kept in it.
    """
    result = _narrowed(image, reference, config, pixel_scale, footprint)
    if result.outcome is Outcome.ALIGNED:
        return result
    return _with_hint(result, image, reference, config, pixel_scale, footprint)


def _narrowed(
    image: Sources, reference: Sources, config: StageConfig, pixel_scale: float, footprint: Floats
) -> StageResult:
    """With the tolerance, and where that gives no match but a narrower one may, with shares of it."""
    results: list[StageResult] = []
    for share in _SHRINK:
        narrow = replace(config, tolerance=share * config.tolerance, separation=share * config.separation)
        if results and narrow.tolerance < 2.0 * pixel_scale:
            break
        results.append(_register_once(image, reference, narrow, pixel_scale, footprint, len(results) + 1))
        if not results[-1].outcome.narrower_may_help:
            break
    return results[-1] if results[-1].outcome is Outcome.ALIGNED else results[0]


def _with_hint(
    result: StageResult, image: Sources, reference: Sources, config: StageConfig, pixel_scale: float, footprint: Floats
) -> StageResult:
    """A refusal, and what a wider search finds if that is why."""
    if not result.outcome.narrower_may_help or not config.use2dhist or len(image) * len(reference) > _MOST_FOR_A_HINT:
        return result
    wide = replace(config, searchrad=min(_WIDER * config.searchrad, max(_WIDEST, config.searchrad)))
    found = _narrowed(image, reference, wide, pixel_scale, footprint)
    if found.outcome is not Outcome.ALIGNED or found.peak is None:
        return result
    east, north = found.peak.offset
    name = for_stage("searchrad", config.stage)
    words = f'{{matches}} stars match at an offset of ({{east:.2f}}, {{north:.2f}})": {name}={{radius:.0f}} reaches it'
    radius = float(np.ceil(np.hypot(east - config.xoffset, north - config.yoffset) + 0.5))
    numbers = {"matches": len(found.match or ()), "east": east, "north": north, "radius": radius}
    before = f"{result.detail.words}; " if result.detail else ""
    detail = Detail(before + words, {**result.detail.numbers, **numbers})
    return replace(result, detail=detail)


def _register_once(
    image: Sources, reference: Sources, config: StageConfig, pixel_scale: float, footprint: Floats, n_tries: int
) -> StageResult:
    """As `register`, with one tolerance; `n_tries` of them raise the chance of a false match."""
    needed = max(config.minobj, MIN_STARS[config.fitgeometry])

    def few(outcome: Outcome, found: int, what: str) -> StageResult:
        return ended(outcome, Detail(f"{{found}} of {{needed}} {what}", {"found": found, "needed": needed}))

    def ended(outcome: Outcome, detail: Detail, match: Match | None = None, fit: Fit | None = None) -> StageResult:
        return StageResult(
            stage=config.stage,
            outcome=outcome,
            matched_with=reference.name,
            match=match,
            fit=fit,
            detail=detail,
            peak=peak,
        )

    peak: OffsetPeak | None = None
    if len(image) < needed:
        return few(Outcome.TOO_FEW_SOURCES, len(image), "sources")
    if len(reference) < needed:
        return few(Outcome.TOO_FEW_MATCHES, len(reference), "sources in the reference")
    peak = _offset_peak(image, reference, config, pixel_scale)
    if peak is None:
        return few(Outcome.TOO_FEW_MATCHES, 0, "matches")
    try:
        pairs = _with_weight(image, reference, _settle_pairs(image, reference, config, peak, pixel_scale))
        if len(pairs.image) < needed:
            return few(Outcome.TOO_FEW_MATCHES, len(pairs.image), "matches")
        weight = _weight(image, reference, config, pairs)
        fit = _final_fit(image, reference, config, pairs, weight)
    except SingularFitError as error:
        return ended(Outcome.SINGULAR, Detail(str(error)))
    expected = _expected_pairs(fit.affine(image.xy), reference.xy, config, pairs.radius)
    match = Match(
        image_index=pairs.image,
        reference_index=pairs.reference,
        image_xy=image.xy[pairs.image],
        reference_xy=reference.xy[pairs.reference],
        weight=weight,
        radius=pairs.radius,
        expected_false=expected,
        false_probability=scan_probability(len(pairs.image), expected, n_tries * _n_places(config, pairs.radius)),
    )
    return ended(*_verdict(config, peak, match, fit, footprint), match, fit)


def _verdict(
    config: StageConfig, peak: OffsetPeak, match: Match, fit: Fit, footprint: Floats
) -> tuple[Outcome, Detail]:
    """Whether a fit is to be believed; if not, why."""
    if match.false_probability > config.max_false_prob:
        words = "{matches} matches, {expected:.1f} expected by chance, p = {probability:.2g}"
        numbers = {
            "matches": len(match),
            "expected": match.expected_false,
            "probability": match.false_probability,
        }
        return Outcome.AMBIGUOUS, Detail(words, numbers)
    if peak.rival_share > config.max_rival:
        return Outcome.AMBIGUOUS, Detail("another offset has {share:.0%} of the matches", {"share": peak.rival_share})
    if 2 * fit.n_used < max(config.minobj, 2 * MIN_STARS[config.fitgeometry]):
        return Outcome.TOO_FEW_MATCHES, Detail(
            "clipping leaves {used} of {matches}", {"used": fit.n_used, "matches": len(match)}
        )
    worsening = _worsening(config, match, fit)
    if worsening > config.max_worsening:
        return Outcome.WORSE, Detail("by {sigma:.1f} standard errors", {"sigma": worsening})
    inner = _inner_share_by_chance(match, fit)
    if inner > _EVEN:
        return Outcome.AMBIGUOUS, Detail("pairs are spread evenly, as chance ones are: p = {p:.2g}", {"p": inner})
    moved = float(np.linalg.norm(fit.affine(footprint) - footprint, axis=1).max())
    if moved > config.largest_correction:
        return Outcome.TOO_LARGE, Detail(
            'a corner would move by {moved:.2f}", more than {largest:.2f}"',
            {"moved": moved, "largest": config.largest_correction},
        )
    return Outcome.ALIGNED, Detail()


def _inner_share_by_chance(match: Match, fit: Fit) -> float:
    """Probability that pairs which are spread evenly have as many in the inner half of the radius as these."""
    length = np.linalg.norm(match.reference_xy - fit.affine(match.image_xy), axis=1)
    return float(stats.binom.sf(np.count_nonzero(length < match.radius / 2.0) - 1, len(length), 0.25))


def _with_weight(image: Sources, reference: Sources, pairs: _Pairs) -> _Pairs:
    """Without the pairs that have no weight: they determine nothing."""
    weight = _matched(image, reference, pairs)[2]
    if weight is None:
        return pairs
    return _Pairs(pairs.image[weight > 0.0], pairs.reference[weight > 0.0], pairs.radius)


def _offset_peak(image: Sources, reference: Sources, config: StageConfig, pixel_scale: float) -> OffsetPeak | None:
    """Without the histogram of the whole search area, the same search within the tolerance."""
    return find_offset(
        image.xy,
        reference.xy,
        searchrad=config.searchrad if config.use2dhist else config.tolerance,
        tolerance=config.tolerance,
        bin_size=pixel_scale,
        start=np.array([config.xoffset, config.yoffset]),
    )


def _settle_pairs(
    image: Sources, reference: Sources, config: StageConfig, peak: OffsetPeak, pixel_scale: float
) -> _Pairs:
    """Pair, fit, and pair again within what the residuals say, until the pairs stay.

    The tolerance is the widest that the pairs may be apart; the separation shrinks
    with it in proportion, so that it stays what the tolerance asks for.
    """
    affine = Affine(shift=-peak.offset)
    radius = peak.radius
    smallest = min(_MIN_RADIUS_PIXELS * pixel_scale, config.tolerance)
    pairs = _Pairs(np.empty(0, dtype=np.intp), np.empty(0, dtype=np.intp), radius)
    for _ in range(20):
        isolation = _isolation(config, radius)
        found = mutual_pairs(affine(image.xy), reference.xy, radius, isolation)
        stays = np.array_equal(found[0], pairs.image) and np.array_equal(found[1], pairs.reference)
        pairs = _Pairs(*found, radius)
        if stays or len(pairs.image) < MIN_STARS[config.fitgeometry]:
            break
        affine, sigma = _mixture(image.xy[pairs.image], reference.xy[pairs.reference], config.fitgeometry, radius)
        radius = float(np.clip(_REACH_SIGMA * sigma, smallest, config.tolerance))
    return pairs


def _isolation(config: StageConfig, radius: float) -> float:
    """The separation, shrunk as the radius is against the tolerance, but no wider than the pairs ask for."""
    return min(config.separation / config.tolerance, _MAX_ISOLATION) * radius


def _mixture(image: Floats, reference: Floats, geometry: str, radius: float) -> tuple[Affine, float]:
    """A fit to pairs of which some, or most, are chance: true ones scatter as a Gaussian, the others evenly.

    Parameters
    ----------
    image, reference : (K, 2) float arrays
        Pairs, arcsec.
    geometry : str
        As for `fit_affine`.
    radius : float
        Pairs are no farther apart than this, arcsec.

    Returns
    -------
    affine : Affine
        Of the true ones.
    sigma : float
        Their standard deviation per axis, arcsec.

    Notes
    -----
    Expectation and maximisation for the density ``(1 - q) N(0, sigma**2) + q / (pi radius**2)`` of a residual: the
    probability that a pair is true is its weight. A median would be that of chance where more than half of the pairs
    are; this is not.
    """
    affine = _robust_affine(image, reference, geometry)
    square = np.sum((reference - affine(image)) ** 2, axis=1)
    sigma, chance = max(radius / 3.0, 1e-9), 0.5
    for _ in range(60):
        density = (1.0 - chance) * np.exp(-square / (2.0 * sigma**2)) / (2.0 * np.pi * sigma**2)
        true = density / (density + chance / (np.pi * radius**2))
        affine = fit_affine(image, reference, np.maximum(true, 1e-12), geometry)
        square = np.sum((reference - affine(image)) ** 2, axis=1)
        before, sigma = sigma, max(float(np.sqrt(np.sum(true * square) / (2.0 * np.sum(true)))), 1e-9)
        chance = float(np.clip(1.0 - true.mean(), 0.01, 0.99))
        if abs(sigma - before) <= 1e-3 * before:
            break
    return affine, sigma


def _robust_affine(image: Floats, reference: Floats, geometry: str) -> Affine:
    """A fit that chance pairs hardly move: the nearer half of the residuals decides, twice."""
    affine = fit_affine(image, reference, None, geometry)
    for _ in range(3):
        length = np.linalg.norm(reference - affine(image), axis=1)
        near = length <= 3.0 * np.median(length) / _RAYLEIGH_MEDIAN
        if near.all() or near.sum() < MIN_STARS[geometry]:
            break
        affine = fit_affine(image[near], reference[near], None, geometry)
    return affine


def _matched(image: Sources, reference: Sources, pairs: _Pairs) -> tuple[Floats, Floats, Floats | None]:
    """Positions and weights of the pairs."""
    weights = (
        None if image.weight is None else image.weight[pairs.image],
        None if reference.weight is None else reference.weight[pairs.reference],
    )
    return image.xy[pairs.image], reference.xy[pairs.reference], combined_weight(*weights)


def _weight(image: Sources, reference: Sources, config: StageConfig, pairs: _Pairs) -> Floats | None:
    """Weights of the pairs: those that the catalogs give, or the inverse variances where the reference has errors."""
    ours, theirs, weight = _matched(image, reference, pairs)
    if reference.variance is None or not config.weighted:
        return weight
    variance = reference.variance[pairs.reference]
    if config.error_floor is None:
        floor = extra_variance(theirs - _robust_affine(ours, theirs, config.fitgeometry)(ours), variance)
    else:
        floor = (config.error_floor / MAS_PER_ARCSEC) ** 2
    inverse = 1.0 / np.maximum(variance + floor, _LEAST_VARIANCE)
    return np.asarray(inverse if weight is None else inverse * weight / weight.mean())


def extra_variance(residual: Floats, variance: Floats) -> float:
    """Variance per axis that residuals have beyond that of the reference: of the image's own positions.

    Parameters
    ----------
    residual : (K, 2) float array
        arcsec.
    variance : (K,) float array
        Of the reference per axis, arcsec squared.

    Returns
    -------
    float
        The most likely one for Gaussian errors: the largest of the sum over stars of
        ``-r**2 / (2 (v + s)) - log(v + s)``. Pairs beyond 4.3 standard deviations, as false ones are, do not count.
    """
    square = np.sum(residual**2, axis=1)
    highest = max(float(np.median(square)), 2.0 * _LEAST_VARIANCE)
    trial = np.geomspace(max(1e-4 * highest, _LEAST_VARIANCE), 4.0 * highest, 200)
    best = 0.0
    inlier = np.ones(len(square), dtype=bool)
    for _ in range(3):
        total = variance[inlier, None] + np.append(0.0, trial)[None] + _LEAST_VARIANCE
        likelihood = np.sum(-square[inlier, None] / (2.0 * total) - np.log(total), axis=0)
        best = float(np.append(0.0, trial)[np.argmax(likelihood)])
        inlier = square <= _FAR**2 * (variance + best + _LEAST_VARIANCE)
        if inlier.sum() < 3:
            break
    return best


def _worsening(config: StageConfig, match: Match, fit: Fit) -> float:
    """Of the stars that the fit used; see `held_out_worsening`."""
    weight = None if match.weight is None else match.weight[fit.used]
    return held_out_worsening(match.image_xy[fit.used], match.reference_xy[fit.used], weight, config.fitgeometry)


def _final_fit(image: Sources, reference: Sources, config: StageConfig, pairs: _Pairs, weight: Floats | None) -> Fit:
    return fit_clipped(
        image.xy[pairs.image],
        reference.xy[pairs.reference],
        weight,
        config.fitgeometry,
        Clipping(
            nclip=config.nclip,
            sigma=config.sigma,
            accumulate=config.clip_accum,
            normalised=reference.variance is not None and config.weighted,
            radius=pairs.radius,
        ),
    )


def _n_places(config: StageConfig, radius: float) -> float:
    """How many places were looked at, side by side.

    The search was free in the offset, and in the other parameters of the fit as far as
    the tolerance lets pairs be apart.
    """
    reach = (config.searchrad if config.use2dhist else 0.0) + config.tolerance
    extra = FREE_PARAMETERS[config.fitgeometry] - 2
    return float((reach / radius) ** 2 * (_PLACES_PER_PARAMETER * config.tolerance / radius) ** extra)


def _expected_pairs(image: Floats, reference: Floats, config: StageConfig, radius: float) -> float:
    """Number of chance pairs within `radius` that `mutual_pairs` would keep.

    Differences between the catalogs in a ring around the match give the density of
    chance pairs; sources that `mutual_pairs` leaves out, because they have a neighbour
    of their own catalog nearer than the isolation, cannot make any.
    """
    inner, outer = 3.0 * radius, 3.0 * radius + 2.0 * config.tolerance
    isolation = _isolation(config, radius)
    ours, theirs = (KDTree(xy[isolated(xy, isolation)]) for xy in (image, reference))
    n_ring = ours.count_neighbors(theirs, outer) - ours.count_neighbors(theirs, inner)
    density = (n_ring + 1.0) / (np.pi * (outer**2 - inner**2))
    return float(density * np.pi * radius**2)
