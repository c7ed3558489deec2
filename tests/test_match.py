"""Offsets and pairs against what was put in."""

import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from helpers import field
from tweakreg.alignment import match
from tweakreg.alignment.match import find_offset, mutual_pairs

SEARCH = {"searchrad": 2.0, "tolerance": 0.7, "bin_size": 0.031, "start": np.zeros(2)}


@settings(max_examples=50, deadline=None)
@given(st.floats(-1.4, 1.4), st.floats(-1.4, 1.4), st.integers(0, 100), st.floats(0.02, 0.07))
def test_offset_without_bias_or_swapped_axes(east, north, seed, bin_size):
    reference = field(150, seed=seed).xy
    image = reference + [east, north] + np.random.default_rng(seed).normal(scale=0.002, size=reference.shape)
    peak = find_offset(image, reference, **{**SEARCH, "bin_size": bin_size})
    assert peak.offset == pytest.approx([east, north], abs=0.002)
    assert peak.n_pairs > 140
    assert peak.rival_share < 0.1


def test_peak_at_the_edge_of_the_search_radius():
    reference = field(100).xy
    peak = find_offset(reference + [2.0, 0.0], reference, **SEARCH)
    assert peak.offset == pytest.approx([2.0, 0.0], abs=1e-6)


def test_offset_beyond_the_search_radius_is_not_found():
    reference = field(100).xy
    peak = find_offset(reference + [4.0, 0.0], reference, **SEARCH)
    assert np.linalg.norm(peak.offset) < 2.8
    assert peak.n_pairs < 20


def test_start_moves_the_search():
    reference = field(100).xy
    peak = find_offset(reference + [9.0, -4.0], reference, **{**SEARCH, "start": np.array([8.0, -4.0])})
    assert peak.offset == pytest.approx([9.0, -4.0], abs=1e-6)


def test_of_equal_peaks_the_one_nearest_to_the_start_and_a_rival():
    reference = field(60).xy
    image = np.concatenate([reference + [0.3, 0.0], reference + [-1.2, 0.0]])
    peak = find_offset(image, reference, **SEARCH)
    assert peak.offset == pytest.approx([0.3, 0.0], abs=1e-6)
    assert peak.rival_share > 0.9


def test_rotation_widens_the_peak():
    reference = field(200).xy
    angle = np.radians(0.2)
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    peak = find_offset(reference @ turn.T + [0.5, 0.5], reference, **SEARCH)
    assert peak.offset == pytest.approx([0.5, 0.5], abs=0.05)


def test_pairs_that_are_too_many_to_hold_are_counted(monkeypatch):
    """In parts, and those near the peak held, the offset is the same; of still more, one source in so many will do."""
    reference = field(300).xy
    image = reference + [0.8, -0.5] + np.random.default_rng(0).normal(scale=0.01, size=reference.shape)
    whole = find_offset(image, reference, **SEARCH)
    monkeypatch.setattr(match, "_MOST_HELD", 50)
    parts = find_offset(image, reference, **SEARCH)
    assert parts.offset == pytest.approx(whole.offset, abs=1e-9)
    assert (parts.n_pairs, parts.expected) == (whole.n_pairs, pytest.approx(whole.expected))
    assert (parts.counts == whole.counts).all()
    for limit in ("_MOST_NEAR", "_MOST_COUNTED"):
        monkeypatch.setattr(match, limit, 150)
        some = find_offset(image, reference, **SEARCH)
        assert some.offset == pytest.approx(whole.offset, abs=0.01)
    assert some.n_pairs < whole.n_pairs / 2


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="memory is measured in kB")
def test_very_many_sources_in_one_field():
    """100 000 against as many: 80 million pairs."""
    code = """
import resource, numpy as np
from tweakreg.alignment.match import find_offset
rng = np.random.default_rng(0)
resource.setrlimit(resource.RLIMIT_CPU, (20, 20))
resource.setrlimit(resource.RLIMIT_AS, (2 << 30, 2 << 30))
reference = rng.uniform(0.0, 130.0, (100_000, 2))
image = np.concatenate([reference[:5000] + [3.0, -2.0], rng.uniform(0.0, 130.0, (95_000, 2))])
peak = find_offset(image, reference, searchrad=6.0, tolerance=0.7, bin_size=0.031, start=np.zeros(2))
print(*peak.offset)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert [float(value) for value in done.stdout.split()] == pytest.approx([3.0, -2.0], abs=0.01)


def test_single_pair_and_no_pair():
    one = np.zeros((1, 2))
    assert find_offset(one + [1.0, 0.5], one, **SEARCH).offset == pytest.approx([1.0, 0.5])
    assert find_offset(one + [9.0, 0.0], one, **SEARCH) is None
    assert find_offset(np.empty((0, 2)), one, **SEARCH) is None


@given(st.integers(0, 200), st.integers(1, 40), st.integers(1, 40), st.floats(0.1, 5.0))
def test_pairs_are_mutual_nearest(seed, n_image, n_reference, radius):
    image, reference = field(n_image, 10.0, seed).xy, field(n_reference, 10.0, seed + 1).xy
    found = set(zip(*(index.tolist() for index in mutual_pairs(image, reference, radius, 0.0)), strict=True))
    distance = np.linalg.norm(image[:, None] - reference[None], axis=2)
    oracle = {
        (i, j)
        for i, j in np.argwhere(distance <= radius).tolist()
        if distance[i].argmin() == j and distance[:, j].argmin() == i
    }
    assert found == oracle


def test_close_neighbours_are_left_out_on_both_sides():
    reference = np.array([[0.0, 0.0], [5.0, 0.0], [10.0, 0.0], [10.2, 0.0]])
    image = np.array([[0.0, 0.0], [0.2, 0.0], [5.0, 0.0], [10.0, 0.0]])
    pairs = mutual_pairs(image, reference, 0.5, isolation=0.3)
    assert [index.tolist() for index in pairs] == [[2], [1]]
