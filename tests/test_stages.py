"""The whole alignment on the plane: order, chains, groups, catalogs."""

from __future__ import annotations

import numpy as np
import pytest

from helpers import ABSOLUTE, BOX, PLANE, RELATIVE, empty, field, image, outcomes, turned
from tweakreg.alignment.solver import Order
from tweakreg.alignment.stages import align_on_plane
from tweakreg.records import Outcome, PlaneCatalog, Status


def test_images_of_a_group_that_see_the_same_stars():
    sky = field(400, width=100.0)
    error = turned(0.01, (0.4, -0.2))
    images = [image(f"a{i}", sky, (2 * i, i), "a", noise=0.001, seed=i) for i in range(3)]
    images += [image(f"b{i}", sky, (3 - 2 * i, i), "b", error, noise=0.001, seed=9 + i) for i in range(3)]
    alignment = align_on_plane(images, PLANE, RELATIVE)
    assert outcomes(alignment) == {"a": Outcome.REFERENCE, "b": Outcome.ALIGNED}
    assert len(alignment.relative["b"].match) > 100
    assert np.allclose(alignment.corrections["b"].after(error)(BOX), BOX, atol=0.002)


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


def test_more_than_fifty_images_in_a_group():
    sky = field(3000, width=300.0)
    places = [(10 * (i % 8) - 40, 10 * (i // 8) - 40) for i in range(60)]
    images = [image(f"a{i:02d}", sky, place, "a", width=9.0) for i, place in enumerate(places)]
    error = turned(0.0, (0.5, 0.5))
    images += [image(f"b{i:02d}", sky, place, "b", error, width=9.0) for i, place in enumerate(places)]
    alignment = align_on_plane(images, PLANE, RELATIVE)
    assert outcomes(alignment) == {"a": Outcome.REFERENCE, "b": Outcome.ALIGNED}
    assert np.allclose(alignment.corrections["b"].after(error)(BOX), BOX, atol=1e-6)


def test_a_second_set_is_aligned_to_a_reference_of_its_own():
    sky = field(9000, width=500.0)
    errors = {name: turned(0, (0.1 * i, -0.1 * i)) for i, name in enumerate("abxy")}
    places = {"a": (0, 0), "b": (8, 0), "x": (180, 180), "y": (186, 182)}
    images = [image(name, sky, places[name], error=errors[name]) for name in errors]
    alignment = align_on_plane(images, PLANE, RELATIVE)
    assert {alignment.status(name) for name in errors} == {Status.COMPLETE}
    assert {str(result.detail) for result in alignment.relative.values()} == {"set 1 of 2", "set 2 of 2"}
    for first, second in ("ab", "xy"):
        moved = [alignment.corrections[name].after(errors[name])(BOX) for name in (first, second)]
        assert np.allclose(*moved, atol=1e-6)


def test_a_set_that_could_not_be_aligned_to_the_others_is_none():
    """Two exposures agree with each other and lie on the others, whose stars they do not have."""
    sky, other = field(300), field(300, seed=9)
    images = [image(name, sky, (i, 0)) for i, name in enumerate("abc")] + [image(name, other) for name in "xy"]
    alignment = align_on_plane(images, PLANE, RELATIVE)
    assert {alignment.status(name) for name in "abc"} == {Status.COMPLETE}
    assert {alignment.status(name) for name in "xy"} == {Status.FAILED}
