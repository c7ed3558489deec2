"""From outcomes to the status."""

from __future__ import annotations

import pytest

from tweakreg.records import Outcome, Status, status


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
