"""A few fields of each kind of ``benchmarks/trust.py``: none is COMPLETE and wrong, none that is right is refused."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "benchmarks"))
import trust

SLOW = {"chips": 1, "crowded": 1}


@pytest.mark.parametrize("absolute", [False, True])
@pytest.mark.parametrize("kind", [kind for kind in [*trust.KINDS, *trust.PIXELS] if kind not in trust.UNDECIDABLE])
def test_nothing_is_complete_and_wrong(kind, absolute):
    for seed in range(1000, 1000 + SLOW.get(kind, 2)):
        images, complete, wrong, misfits = trust.judge(kind, absolute, seed)
        assert wrong == 0
        if kind in trust.RIGHT:
            assert (complete, misfits) == (images, 0)


def test_what_a_tie_of_misfits_carries_along_is_refused():
    """Three dithers that are one group, and two exposures that were aligned to them."""
    assert trust.judge("dithers in one group", True, 37)[2] == 0
