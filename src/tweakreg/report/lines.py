"""One line per image and stage."""

from __future__ import annotations

from collections import Counter

from tweakreg.plane import MAS_PER_ARCSEC
from tweakreg.types import Outcome, Stage, StageResult, Status


def result_line(name: str, result: StageResult) -> str:
    """What happened to an image in a stage, and why.

    Parameters
    ----------
    name : str
        Name of the image.
    result : StageResult
    """
    text = f"{result.stage.value}: {name}: "
    if result.outcome is Outcome.ALIGNED and result.fit is not None and result.match is not None:
        return text + _fit_text(result)
    return text + result.outcome.sentence + (f" ({result.detail})" if result.detail else "")


def _fit_text(result: StageResult) -> str:
    fit, match = result.fit, result.match
    assert fit is not None and match is not None
    kind = "group" if result.stage is Stage.RELATIVE else "catalog"
    chance = f"{match.false_probability:.1g}" if match.false_probability > 0.0 else "< 1e-300"
    east, north = fit.affine.shift * MAS_PER_ARCSEC
    return (
        f"aligned to {kind} {result.reference}: {len(match)} matches, {fit.n_clipped} clipped, "
        f"rms {fit.rms * MAS_PER_ARCSEC:.2f} mas, {fit.geometry} ({east:+.2f}, {north:+.2f}) mas, "
        f"{fit.affine.rotation:+.5f}°, p(chance) {chance}"
    )


def summary_line(statuses: list[Status]) -> str:
    """How many images ended how."""
    counts = Counter(status.value for status in statuses)
    return f"{len(statuses)} image{'' if len(statuses) == 1 else 's'}: " + ", ".join(
        f"{count} {value}" for value, count in counts.items()
    )
