"""One catalog against another: outcomes, offsets, crowds, contaminants."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from helpers import BOX, RELATIVE, field, matched, turned
from tweakreg.alignment.register import register
from tweakreg.records import Outcome, Sources


@settings(max_examples=40, deadline=None)
@given(st.floats(-1.3, 1.3), st.floats(-1.3, 1.3), st.floats(-0.3, 0.3), st.integers(0, 50))
@example(-2.220446049250313e-16, 0.0, 0.0, 0)
def test_register_undoes_a_known_motion(east, north, angle, seed):
    reference = field(150, seed=seed)
    motion = turned(angle, (east, north))
    result = matched(Sources(xy=motion(reference.xy)), reference, RELATIVE)
    assert result.outcome is Outcome.ALIGNED
    assert np.allclose(result.fit.affine.after(motion)(BOX), BOX, atol=1e-6)


@pytest.mark.parametrize("n", [0, 1, 2, 3])
def test_few_sources_are_an_outcome(n):
    few, many = field(n), field(100)
    assert matched(few, many, RELATIVE).outcome is Outcome.TOO_FEW_SOURCES
    assert matched(many, few, RELATIVE).outcome is Outcome.TOO_FEW_MATCHES
    result = matched(few, few, replace(RELATIVE, minobj=1))
    assert result.outcome in {Outcome.TOO_FEW_SOURCES, Outcome.AMBIGUOUS, Outcome.SINGULAR, Outcome.ALIGNED}
    if result.outcome is Outcome.ALIGNED:
        assert np.allclose(result.fit.affine(few.xy), few.xy)


def test_minobj_matches_are_enough():
    sources = field(15)
    assert matched(sources, sources, replace(RELATIVE, minobj=15)).outcome is Outcome.ALIGNED
    assert matched(sources, sources, replace(RELATIVE, minobj=16)).outcome is Outcome.TOO_FEW_SOURCES


@pytest.mark.parametrize("geometry", ["shift", "rshift", "rscale", "general"])
@pytest.mark.parametrize("n", [20, 200, 2000])
def test_catalogs_without_a_common_star_are_refused(geometry, n):
    config = replace(RELATIVE, fitgeometry=geometry)
    for seed in range(5):
        result = matched(field(n, seed=seed), field(n, seed=seed + 100), config)
        assert result.outcome is not Outcome.ALIGNED


@pytest.mark.parametrize("seed", range(5))
def test_dense_cores_of_unrelated_fields_are_refused(seed):
    rng = np.random.default_rng(seed)
    one, other = (
        Sources(xy=np.concatenate([rng.uniform(-30, 30, size=(300, 2)), rng.normal(scale=3.0, size=(1000, 2))]))
        for _ in range(2)
    )
    assert matched(one, other, RELATIVE).outcome is not Outcome.ALIGNED
    noise = np.random.default_rng(seed).normal(scale=0.003, size=one.xy.shape)
    again = matched(Sources(xy=one.xy + noise + [0.3, 0.2]), one, RELATIVE)
    assert again.outcome is Outcome.ALIGNED


@pytest.mark.parametrize(("geometry", "n"), [("rshift", 40), ("general", 150), ("shift", 20)])
def test_a_well_pointed_image_is_not_called_worse(geometry, n):
    outcomes = []
    for seed in range(100):
        reference = field(n, seed=seed)
        noise = np.random.default_rng(seed).normal(scale=0.003, size=(n, 2))
        config = replace(RELATIVE, fitgeometry=geometry)
        outcomes.append(matched(Sources(xy=reference.xy + noise), reference, config).outcome)
    assert outcomes.count(Outcome.ALIGNED) >= 99


def test_a_fit_that_worsens_what_it_did_not_see_is_refused():
    wrong = np.arange(200) < 20
    reference = replace(field(200), weight=np.where(wrong, 1e6, 1.0))
    noise = np.random.default_rng(0).normal(scale=0.01, size=(200, 2))
    image_xy = reference.xy + noise + np.where(wrong, 0.03, 0.0)[:, None]
    config = replace(RELATIVE, nclip=0)
    assert matched(Sources(xy=image_xy), reference, config).outcome is Outcome.WORSE
    fair = replace(reference, weight=None)
    assert matched(Sources(xy=image_xy), fair, config).outcome is Outcome.ALIGNED


def test_stars_of_weight_zero_are_no_matches():
    reference = replace(field(100), weight=np.where(np.arange(100) < 4, 1.0, 0.0))
    result = matched(Sources(xy=reference.xy + [0.1, 0.0]), reference, RELATIVE)
    assert result.outcome is Outcome.TOO_FEW_MATCHES


def test_clipping_must_leave_enough_stars():
    reference = field(100)
    noise = np.random.default_rng(0).normal(scale=0.01, size=(100, 2))
    config = replace(RELATIVE, sigma=0.5, nclip=30)
    assert matched(Sources(xy=reference.xy + noise), reference, config).outcome is Outcome.TOO_FEW_MATCHES


@pytest.mark.parametrize("angle", [-2.0, 0.5, 1.0, 2.0])
@pytest.mark.parametrize("n", [50, 600])
def test_a_roll_that_carries_the_corners_beyond_the_tolerance(n, angle):
    reference, motion = field(n), turned(angle, (0.4, -0.3))
    noise = np.random.default_rng(n).normal(scale=0.003, size=reference.xy.shape)
    result = matched(Sources(xy=motion(reference.xy) + noise), reference, RELATIVE)
    assert result.outcome is Outcome.ALIGNED
    assert np.allclose(result.fit.affine.after(motion)(BOX), BOX, atol=0.005)


def test_a_tight_tolerance_needs_no_other_separation():
    reference = field(300)
    config = replace(RELATIVE, tolerance=0.05)
    result = matched(Sources(xy=reference.xy + [0.4, 0.1]), reference, config)
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
    assert matched(twice, reference, RELATIVE).outcome is Outcome.AMBIGUOUS


def test_offsets_count_from_the_expected_ones():
    reference = field(100)
    config = replace(RELATIVE, xoffset=10.0, yoffset=-5.0)
    moved = Sources(xy=reference.xy + [10.4, -5.2])
    for use2dhist in (True, False):
        result = matched(moved, reference, replace(config, use2dhist=use2dhist))
        assert result.outcome is Outcome.ALIGNED
        assert result.fit.affine.shift == pytest.approx([-10.4, 5.2])
    without = matched(moved, reference, replace(RELATIVE, use2dhist=False))
    assert without.outcome is not Outcome.ALIGNED


def test_a_correction_beyond_the_limit_is_too_large():
    reference = field(200)
    config = replace(RELATIVE, use2dhist=False, tolerance=0.2, separation=0.3)
    far = BOX * 100.0
    result = register(Sources(xy=turned(0.05)(reference.xy)), reference, config, 0.031, far)
    assert result.outcome is Outcome.TOO_LARGE
    assert matched(Sources(xy=turned(0.05)(reference.xy)), reference, config).outcome is Outcome.ALIGNED


def test_contaminants_hardly_move_the_fit():
    reference = field(200)
    noise = np.random.default_rng(3).normal(scale=0.003, size=(200, 2))
    wings = reference.xy[:40] + [0.4, 0.0]
    seen = Sources(xy=np.concatenate([reference.xy + noise, wings]) + [0.2, 0.1])
    result = matched(seen, reference, RELATIVE)
    assert result.fit.affine.shift == pytest.approx([-0.2, -0.1], abs=0.001)


def test_weights_decide():
    reference = replace(field(100), weight=np.r_[np.full(50, 1e4), np.ones(50)])
    image_xy = reference.xy + [0.1, 0.0]
    image_xy[50:] += np.random.default_rng(0).normal(scale=0.02, size=(50, 2))
    result = matched(Sources(xy=image_xy), reference, RELATIVE)
    assert result.fit.affine.shift == pytest.approx([-0.1, 0.0], abs=1e-4)
