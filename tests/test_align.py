"""Alignment on the plane: outcomes, order, chains, merging."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from helpers import BOX, RELATIVE, field
from tweakreg.alignment.merge import MergedCatalog
from tweakreg.alignment.overlap import group_outlines, largest_component, overlap_areas
from tweakreg.alignment.register import register
from tweakreg.alignment.solver import Order
from tweakreg.alignment.stages import align_on_plane
from tweakreg.plane import TangentPlane
from tweakreg.records import Affine, Outcome, PlaneCatalog, PlaneImage, Sources, Stage, StageConfig, Status, status

PLANE = TangentPlane(ra=10.0, dec=20.0)
ABSOLUTE = StageConfig.of(Stage.ABSOLUTE)


def turned(angle, shift=(0.0, 0.0)):
    a = np.radians(angle)
    return Affine(matrix=np.array([[np.cos(a), -np.sin(a)], [np.sin(a), np.cos(a)]]), shift=np.array(shift))


def image(name, sources, centre=(0.0, 0.0), group=None, error=None, noise=0.0, width=60.0, seed=0):
    """An image of the sources in a box around the centre, seen with an error of its WCS."""
    corners = BOX * width / 60.0 + np.asarray(centre)
    seen = (np.abs(sources.xy - centre) < width / 2).all(axis=1)
    xy = sources.xy[seen] + np.random.default_rng((seed, len(name))).normal(scale=noise, size=(seen.sum(), 2))
    motion = error or Affine()
    return PlaneImage(
        name=name, group=group or name, footprint=corners, pixel_scale=0.031,
        sources=Sources(xy=motion(xy), name=name),
    )  # fmt: skip


def empty(name, group=None):
    return PlaneImage(
        name=name, group=group or name, footprint=BOX, pixel_scale=0.031, sources=Sources(xy=np.empty((0, 2)))
    )


def outcomes(alignment, stage="relative"):
    return {name: result.outcome for name, result in getattr(alignment, stage).items()}


@settings(max_examples=40, deadline=None)
@given(st.floats(-1.3, 1.3), st.floats(-1.3, 1.3), st.floats(-0.3, 0.3), st.integers(0, 50))
@example(-2.220446049250313e-16, 0.0, 0.0, 0)
def test_register_undoes_a_known_motion(east, north, angle, seed):
    reference = field(150, seed=seed)
    motion = turned(angle, (east, north))
    result = register(Sources(xy=motion(reference.xy)), reference, RELATIVE, 0.031, BOX)
    assert result.outcome is Outcome.ALIGNED
    assert np.allclose(result.fit.affine.after(motion)(BOX), BOX, atol=1e-6)


@pytest.mark.parametrize("n", [0, 1, 2, 3])
def test_few_sources_are_an_outcome(n):
    few, many = field(n), field(100)
    assert register(few, many, RELATIVE, 0.031, BOX).outcome is Outcome.TOO_FEW_SOURCES
    assert register(many, few, RELATIVE, 0.031, BOX).outcome is Outcome.TOO_FEW_MATCHES
    result = register(few, few, replace(RELATIVE, minobj=1), 0.031, BOX)
    assert result.outcome in {Outcome.TOO_FEW_SOURCES, Outcome.AMBIGUOUS, Outcome.SINGULAR, Outcome.ALIGNED}
    if result.outcome is Outcome.ALIGNED:
        assert np.allclose(result.fit.affine(few.xy), few.xy)


def test_minobj_matches_are_enough():
    sources = field(15)
    assert register(sources, sources, replace(RELATIVE, minobj=15), 0.031, BOX).outcome is Outcome.ALIGNED
    assert register(sources, sources, replace(RELATIVE, minobj=16), 0.031, BOX).outcome is Outcome.TOO_FEW_SOURCES


@pytest.mark.parametrize("geometry", ["shift", "rshift", "rscale", "general"])
@pytest.mark.parametrize("n", [20, 200, 2000])
def test_catalogs_without_a_common_star_are_refused(geometry, n):
    config = replace(RELATIVE, fitgeometry=geometry)
    for seed in range(5):
        result = register(field(n, seed=seed), field(n, seed=seed + 100), config, 0.031, BOX)
        assert result.outcome is not Outcome.ALIGNED


@pytest.mark.parametrize("seed", range(5))
def test_dense_cores_of_unrelated_fields_are_refused(seed):
    rng = np.random.default_rng(seed)
    one, other = (
        Sources(xy=np.concatenate([rng.uniform(-30, 30, size=(300, 2)), rng.normal(scale=3.0, size=(1000, 2))]))
        for _ in range(2)
    )
    assert register(one, other, RELATIVE, 0.031, BOX).outcome is not Outcome.ALIGNED
    noise = np.random.default_rng(seed).normal(scale=0.003, size=one.xy.shape)
    again = register(Sources(xy=one.xy + noise + [0.3, 0.2]), one, RELATIVE, 0.031, BOX)
    assert again.outcome is Outcome.ALIGNED


@pytest.mark.parametrize(("geometry", "n"), [("rshift", 40), ("general", 150), ("shift", 20)])
def test_a_well_pointed_image_is_not_called_worse(geometry, n):
    outcomes = []
    for seed in range(100):
        reference = field(n, seed=seed)
        noise = np.random.default_rng(seed).normal(scale=0.003, size=(n, 2))
        config = replace(RELATIVE, fitgeometry=geometry)
        outcomes.append(register(Sources(xy=reference.xy + noise), reference, config, 0.031, BOX).outcome)
    assert outcomes.count(Outcome.ALIGNED) >= 99


def test_a_fit_that_worsens_what_it_did_not_see_is_refused():
    wrong = np.arange(200) < 20
    reference = replace(field(200), weight=np.where(wrong, 1e6, 1.0))
    noise = np.random.default_rng(0).normal(scale=0.01, size=(200, 2))
    image_xy = reference.xy + noise + np.where(wrong, 0.03, 0.0)[:, None]
    config = replace(RELATIVE, nclip=0)
    assert register(Sources(xy=image_xy), reference, config, 0.031, BOX).outcome is Outcome.WORSE
    fair = replace(reference, weight=None)
    assert register(Sources(xy=image_xy), fair, config, 0.031, BOX).outcome is Outcome.ALIGNED


def test_stars_of_weight_zero_are_no_matches():
    reference = replace(field(100), weight=np.where(np.arange(100) < 4, 1.0, 0.0))
    result = register(Sources(xy=reference.xy + [0.1, 0.0]), reference, RELATIVE, 0.031, BOX)
    assert result.outcome is Outcome.TOO_FEW_MATCHES


def test_clipping_must_leave_enough_stars():
    reference = field(100)
    noise = np.random.default_rng(0).normal(scale=0.01, size=(100, 2))
    config = replace(RELATIVE, sigma=0.5, nclip=30)
    assert register(Sources(xy=reference.xy + noise), reference, config, 0.031, BOX).outcome is Outcome.TOO_FEW_MATCHES


def test_images_of_a_group_that_see_the_same_stars():
    sky = field(400, width=100.0)
    error = turned(0.01, (0.4, -0.2))
    images = [image(f"a{i}", sky, (2 * i, i), "a", noise=0.001, seed=i) for i in range(3)]
    images += [image(f"b{i}", sky, (3 - 2 * i, i), "b", error, noise=0.001, seed=9 + i) for i in range(3)]
    alignment = align_on_plane(images, PLANE, RELATIVE)
    assert outcomes(alignment) == {"a": Outcome.REFERENCE, "b": Outcome.ALIGNED}
    assert len(alignment.relative["b"].match) > 100
    assert np.allclose(alignment.corrections["b"].after(error)(BOX), BOX, atol=0.002)


@pytest.mark.parametrize("angle", [-2.0, 0.5, 1.0, 2.0])
@pytest.mark.parametrize("n", [50, 600])
def test_a_roll_that_carries_the_corners_beyond_the_tolerance(n, angle):
    reference, motion = field(n), turned(angle, (0.4, -0.3))
    noise = np.random.default_rng(n).normal(scale=0.003, size=reference.xy.shape)
    result = register(Sources(xy=motion(reference.xy) + noise), reference, RELATIVE, 0.031, BOX)
    assert result.outcome is Outcome.ALIGNED
    assert np.allclose(result.fit.affine.after(motion)(BOX), BOX, atol=0.005)


def test_a_tight_tolerance_needs_no_other_separation():
    reference = field(300)
    config = replace(RELATIVE, tolerance=0.05)
    result = register(Sources(xy=reference.xy + [0.4, 0.1]), reference, config, 0.031, BOX)
    assert result.outcome is Outcome.ALIGNED
    assert len(result.match) > 250


def test_a_crowded_little_field():
    reference = field(600, width=8.0)
    noise = np.random.default_rng(1).normal(scale=0.003, size=reference.xy.shape)
    result = register(Sources(xy=reference.xy + noise + [0.3, -0.2]), reference, RELATIVE, 0.031, BOX / 8)
    assert result.outcome is Outcome.ALIGNED
    assert result.fit.affine.shift == pytest.approx([-0.3, 0.2], abs=0.002)


def test_two_offsets_that_explain_the_matches_equally_are_ambiguous():
    reference = field(60)
    twice = Sources(xy=np.concatenate([reference.xy + [0.5, 0.0], reference.xy - [0.5, 0.0]]))
    assert register(twice, reference, RELATIVE, 0.031, BOX).outcome is Outcome.AMBIGUOUS


def test_offsets_count_from_the_expected_ones():
    reference = field(100)
    config = replace(RELATIVE, xoffset=10.0, yoffset=-5.0)
    moved = Sources(xy=reference.xy + [10.4, -5.2])
    for use2dhist in (True, False):
        result = register(moved, reference, replace(config, use2dhist=use2dhist), 0.031, BOX)
        assert result.outcome is Outcome.ALIGNED
        assert result.fit.affine.shift == pytest.approx([-10.4, 5.2])
    without = register(moved, reference, replace(RELATIVE, use2dhist=False), 0.031, BOX)
    assert without.outcome is not Outcome.ALIGNED


def test_a_correction_beyond_the_limit_is_too_large():
    reference = field(200)
    config = replace(RELATIVE, use2dhist=False, tolerance=0.2, separation=0.3)
    far = BOX * 100.0
    result = register(Sources(xy=turned(0.05)(reference.xy)), reference, config, 0.031, far)
    assert result.outcome is Outcome.TOO_LARGE
    assert register(Sources(xy=turned(0.05)(reference.xy)), reference, config, 0.031, BOX).outcome is Outcome.ALIGNED


def test_contaminants_hardly_move_the_fit():
    reference = field(200)
    noise = np.random.default_rng(3).normal(scale=0.003, size=(200, 2))
    wings = reference.xy[:40] + [0.4, 0.0]
    seen = Sources(xy=np.concatenate([reference.xy + noise, wings]) + [0.2, 0.1])
    result = register(seen, reference, RELATIVE, 0.031, BOX)
    assert result.fit.affine.shift == pytest.approx([-0.2, -0.1], abs=0.001)


def test_weights_decide():
    reference = replace(field(100), weight=np.r_[np.full(50, 1e4), np.ones(50)])
    image_xy = reference.xy + [0.1, 0.0]
    image_xy[50:] += np.random.default_rng(0).normal(scale=0.02, size=(50, 2))
    result = register(Sources(xy=image_xy), reference, RELATIVE, 0.031, BOX)
    assert result.fit.affine.shift == pytest.approx([-0.1, 0.0], abs=1e-4)


def test_relative_alignment_and_its_reference():
    sky = field(300)
    images = [
        image("a", sky),
        image("b", sky, error=turned(0.05, (0.5, 0.2))),
        image("c", sky, error=turned(0.0, (-1, 0))),
    ]
    alignment = align_on_plane(images, PLANE, RELATIVE)
    assert outcomes(alignment) == {"a": Outcome.REFERENCE, "b": Outcome.ALIGNED, "c": Outcome.ALIGNED}
    assert alignment.corrections["a"].is_identity
    assert np.allclose(alignment.corrections["b"].after(turned(0.05, (0.5, 0.2)))(BOX), BOX, atol=1e-6)
    assert {alignment.status(name) for name in "abc"} == {Status.COMPLETE}


def test_one_correction_per_group():
    sky = field(600, width=200.0)
    error = turned(0.02, (0.6, -0.3))
    images = [
        image("a1", sky, (-35, 0), "a"), image("a2", sky, (35, 0), "a"),
        image("b1", sky, (-35, 5), "b", error), image("b2", sky, (35, 5), "b", error),
    ]  # fmt: skip
    alignment = align_on_plane(images, PLANE, RELATIVE)
    assert set(alignment.corrections) == {"a", "b"}
    assert np.allclose(alignment.corrections["b"].after(error)(BOX), BOX, atol=1e-6)


def test_an_empty_image_rides_with_its_group():
    sky = field(200)
    images = [image("a1", sky, group="a"), empty("a2", "a"), image("b1", sky, group="b"), empty("b2", "b")]
    assert outcomes(align_on_plane(images, PLANE, RELATIVE)) == {"a": Outcome.REFERENCE, "b": Outcome.ALIGNED}


def test_all_empty():
    alignment = align_on_plane([empty("a"), empty("b")], PLANE, RELATIVE, ABSOLUTE, PlaneCatalog(sources=field(100)))
    assert set(outcomes(alignment).values()) == {Outcome.TOO_FEW_SOURCES}
    assert set(outcomes(alignment, "absolute").values()) == {Outcome.TOO_FEW_SOURCES}
    assert alignment.status("a") is Status.FAILED


def test_a_blank_first_image_is_no_reference():
    sky = field(200)
    alignment = align_on_plane([empty("a"), image("b", sky), image("c", sky)], PLANE, RELATIVE)
    assert outcomes(alignment) == {
        "a": Outcome.TOO_FEW_SOURCES, "b": Outcome.REFERENCE, "c": Outcome.ALIGNED
    }  # fmt: skip
    assert set(alignment.corrections) == {"b", "c"}


def test_one_exposure_has_nothing_to_align_to():
    alignment = align_on_plane([image("a", field(100))], PLANE, RELATIVE)
    assert outcomes(alignment) == {"a": Outcome.NOT_NEEDED}
    assert alignment.status("a") is Status.FAILED


def test_without_overlap_only_the_larger_part_is_complete():
    sky = field(5000, width=400.0)
    images = [image("far", sky, (150, 150)), image("a", sky), image("b", sky, (10, 0), error=turned(0, (0.5, 0)))]
    alignment = align_on_plane(images, PLANE, RELATIVE)
    assert outcomes(alignment) == {"far": Outcome.NO_OVERLAP, "a": Outcome.REFERENCE, "b": Outcome.ALIGNED}
    assert [alignment.status(name) for name in ("far", "a", "b")] == [Status.FAILED, Status.COMPLETE, Status.COMPLETE]
    assert "far" not in alignment.corrections


def test_a_reference_catalog_ties_what_does_not_overlap():
    sky = field(5000, width=400.0)
    errors = {"far": turned(0, (2.0, -1.0)), "a": turned(0, (0.3, 0.3)), "b": turned(0, (0.8, 0.0))}
    places = {"far": (150, 150), "a": (0, 0), "b": (10, 0)}
    images = [image(name, sky, places[name], error=errors[name]) for name in errors]
    alignment = align_on_plane(images, PLANE, RELATIVE, ABSOLUTE, PlaneCatalog(sources=sky))
    for name, error in errors.items():
        assert np.allclose(alignment.corrections[name].after(error)(BOX), BOX, atol=1e-6)
        assert alignment.status(name) is Status.COMPLETE


@pytest.mark.parametrize("expand", [False, True])
@pytest.mark.parametrize("user_order", [False, True])
def test_a_chain_of_overlaps_holds_together(expand, user_order):
    sky = field(6000, width=400.0)
    images = [
        image(f"{i}", sky, (45 * i - 70, 0), error=turned(0, (0.1 * i, -0.2 * i)), noise=0.001, seed=i)
        for i in range(4)
    ]
    alignment = align_on_plane(
        images, PLANE, RELATIVE, order=Order(enforce_user_order=user_order, expand_refcat=expand)
    )
    assert {alignment.status(str(i)) for i in range(4)} == {Status.COMPLETE}
    first = alignment.corrections["0"].after(turned(0, (0, 0)))
    for i in range(4):
        motion = alignment.corrections[str(i)].after(turned(0, (0.1 * i, -0.2 * i)))
        assert np.allclose(motion(BOX), first(BOX), atol=0.003)


def test_user_order_takes_the_first_and_overlap_the_middle_one():
    sky = field(5000, width=300.0)
    images = [image(str(i), sky, (40 * i, 0)) for i in range(3)]
    ordered = align_on_plane(images, PLANE, RELATIVE, order=Order(enforce_user_order=True, expand_refcat=True))
    free = align_on_plane(images, PLANE, RELATIVE, order=Order(expand_refcat=True))
    assert outcomes(ordered)["0"] is Outcome.REFERENCE
    assert outcomes(free)["1"] is Outcome.REFERENCE


def test_a_failed_image_does_not_poison_the_others():
    sky, other = field(300), field(300, seed=9)
    images = [image("a", sky), image("bad", other), image("b", sky, error=turned(0, (0.4, 0)))]
    alignment = align_on_plane(images, PLANE, RELATIVE, order=Order(expand_refcat=True))
    clean = align_on_plane([images[0], images[2]], PLANE, RELATIVE, order=Order(expand_refcat=True))
    assert alignment.status("bad") is Status.FAILED
    assert "bad" not in alignment.corrections
    names = set(alignment.corrections)
    assert names == {"a", "b"}
    assert np.array_equal(alignment.corrections["b"].shift, clean.corrections["b"].shift)


def test_a_visit_off_by_more_than_searchrad_is_tied_by_the_reference_catalog():
    sky = field(300)
    off = turned(0, (4.0, 2.0))
    images = [image(f"a{i}", sky) for i in range(3)] + [image(f"b{i}", sky, error=off) for i in range(2)]
    alone = align_on_plane(images, PLANE, RELATIVE)
    assert [alone.status(f"b{i}") for i in range(2)] == [Status.FAILED] * 2
    alignment = align_on_plane(images, PLANE, RELATIVE, ABSOLUTE, PlaneCatalog(sources=sky))
    assert outcomes(alignment)["b0"] is Outcome.NOT_TIED
    for i in range(2):
        assert alignment.status(f"b{i}") is Status.COMPLETE
        assert np.allclose(alignment.corrections[f"b{i}"].after(off)(BOX), BOX, atol=1e-6)


def test_absolute_failure_keeps_the_relative_solution():
    sky = field(300)
    error = turned(0, (0.5, 0.5))
    images = [image("a", sky), image("b", sky, error=error)]
    for reference in (field(5), field(300, seed=77), None):
        alignment = align_on_plane(
            images, PLANE, RELATIVE, ABSOLUTE, PlaneCatalog(sources=reference, problem="it is away")
        )
        assert np.allclose(alignment.corrections["b"].after(error)(BOX), BOX, atol=1e-6)
        assert alignment.status("b") is Status.FAILED
    assert outcomes(alignment, "absolute")["b"] is Outcome.NO_REFERENCE
    assert str(alignment.absolute["b"].detail) == "it is away"


def test_a_rejected_relative_fit_changes_nothing():
    sky = field(300)
    images = [image("a", sky), image("b", sky, error=turned(0, (6.0, 0.0)))]
    alignment = align_on_plane(images, PLANE, RELATIVE)
    assert alignment.status("a") is Status.FAILED
    assert alignment.status("b") is Status.FAILED
    assert all(correction.is_identity for correction in alignment.corrections.values())


def test_identical_footprints_and_many_images():
    sky = field(60)
    images = [image(f"{i:03d}", sky, noise=0.001, seed=i) for i in range(60)]
    alignment = align_on_plane(
        images, PLANE, RELATIVE, ABSOLUTE, PlaneCatalog(sources=sky), order=Order(expand_refcat=True)
    )
    assert {alignment.status(image.group) for image in images} == {Status.COMPLETE}


def test_repeated_detections_are_averaged_not_dropped():
    rng = np.random.default_rng(0)
    star = field(100).xy
    visits = [star + rng.normal(scale=0.01, size=star.shape) for _ in range(16)]
    stars = MergedCatalog(Sources(xy=visits[0]))
    for xy in visits[1:]:
        stars.add(Sources(xy=xy), radius=0.1)
    assert len(stars.sources) == 100
    assert np.allclose(stars.sources.xy, np.mean(visits, axis=0), atol=1e-12)


def test_merging_keeps_new_stars_and_sums_weights():
    stars = MergedCatalog(Sources(xy=np.zeros((1, 2)), weight=np.array([1.0])))
    stars.add(Sources(xy=np.array([[0.3, 0.0], [5.0, 0.0]]), weight=np.array([2.0, 1.0])), radius=0.5)
    assert stars.sources.xy == pytest.approx(np.array([[0.2, 0.0], [5.0, 0.0]]))
    assert stars.sources.weight == pytest.approx([3.0, 1.0])
    stars.add(Sources(xy=np.array([[5.2, 0.0]])), radius=0.5)
    assert stars.sources.weight is None
    assert stars.sources.xy == pytest.approx(np.array([[0.2, 0.0], [5.1, 0.0]]))


def test_overlaps():
    images = [image(str(i), field(1), (50 * i, 0)) for i in (0, 1, 4)]
    areas = overlap_areas(group_outlines(images))
    assert areas[0, 1] == pytest.approx(10 * 60)
    assert areas[0, 2] == areas[0, 0] == 0.0
    assert largest_component(areas) == [0, 1]


@pytest.mark.parametrize(
    ("relative", "absolute", "expected"),
    [
        (Outcome.ALIGNED, Outcome.NOT_REQUESTED, Status.COMPLETE),
        (Outcome.REFERENCE, Outcome.NOT_REQUESTED, Status.COMPLETE),
        (Outcome.NOTHING_ALIGNED, Outcome.NOT_REQUESTED, Status.FAILED),
        (Outcome.ALIGNED, Outcome.TOO_FEW_MATCHES, Status.FAILED),
        (Outcome.NOT_NEEDED, Outcome.ALIGNED, Status.COMPLETE),
        (Outcome.NO_OVERLAP, Outcome.ALIGNED, Status.COMPLETE),
        (Outcome.TOO_FEW_SOURCES, Outcome.ALIGNED, Status.FAILED),
    ],
)
def test_status_table(relative, absolute, expected):
    assert status(relative, absolute) is expected


def test_more_than_fifty_images_in_a_group():
    sky = field(3000, width=300.0)
    places = [(10 * (i % 8) - 40, 10 * (i // 8) - 40) for i in range(60)]
    images = [image(f"a{i:02d}", sky, place, "a", width=9.0) for i, place in enumerate(places)]
    error = turned(0.0, (0.5, 0.5))
    images += [image(f"b{i:02d}", sky, place, "b", error, width=9.0) for i, place in enumerate(places)]
    alignment = align_on_plane(images, PLANE, RELATIVE)
    assert outcomes(alignment) == {"a": Outcome.REFERENCE, "b": Outcome.ALIGNED}
    assert np.allclose(alignment.corrections["b"].after(error)(BOX), BOX, atol=1e-6)


def test_errors_of_averaged_stars_are_those_of_their_detections():
    """The stated error is that of the mean, whether a star is seen in ten exposures or in one."""
    rng = np.random.default_rng(5)
    truth = field(400, seed=5).xy
    stars = MergedCatalog(Sources(xy=truth + rng.normal(scale=0.01, size=truth.shape)))
    for _ in range(9):
        seen = np.arange(400) < 300
        stars.add(Sources(xy=truth[seen] + rng.normal(scale=0.01, size=(300, 2))), 0.1)
    result = stars.sources_with_errors
    assert stars.sources.variance is None
    assert np.sqrt(result.variance[:300]) == pytest.approx(0.01 / np.sqrt(10.0), rel=0.05)
    assert np.sqrt(result.variance[300:]) == pytest.approx(0.01, rel=0.05)
    normalised = (result.xy[:400] - truth)[:300] / np.sqrt(result.variance[:300, None])
    assert np.std(normalised) == pytest.approx(1.0, abs=0.1)
