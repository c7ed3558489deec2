"""Which groups overlap."""

from __future__ import annotations

import pytest

from helpers import field, image
from tweakreg.alignment.overlap import group_outlines, largest_component, overlap_areas


def test_overlaps():
    images = [image(str(i), field(1), (50 * i, 0)) for i in (0, 1, 4)]
    areas = overlap_areas(group_outlines(images))
    assert areas[0, 1] == pytest.approx(10 * 60)
    assert areas[0, 2] == areas[0, 0] == 0.0
    assert largest_component(areas) == [0, 1]
