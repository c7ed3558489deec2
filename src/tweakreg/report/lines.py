"""What the log says: a line per image and stage, and a summary."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from tweakreg.plane import MAS_PER_ARCSEC
from tweakreg.records import Outcome, Stage, StageResult, Status
from tweakreg.results.keywords import Tree


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
    chance = chance_text(match.false_probability)
    east, north = fit.affine.shift * MAS_PER_ARCSEC
    return (
        f"aligned to {kind} {result.matched_with}: {len(match)} matches, {fit.n_clipped} clipped, "
        f"rms {fit.rms * MAS_PER_ARCSEC:.2f} mas, {fit.geometry} ({east:+.2f}, {north:+.2f}) mas, "
        f"{fit.affine.rotation:+.5f}°, p(chance) {chance}"
    )


def chance_text(probability: float) -> str:
    """A probability that may be too small for a number."""
    return f"{probability:.1g}" if probability > 0.0 else "< 1e-300"


def summary_lines(trees: Sequence[Tree], written: Sequence[Path], seconds: float) -> list[str]:
    """How a run ended, in ten lines at most.

    Parameters
    ----------
    trees : sequence of dict
        The results of the images.
    written : sequence of Path
        All files that were written.
    seconds : float
        How long the run took.

    Returns
    -------
    list of str
    """
    n_groups = len({tree["group"] for tree in trees})
    ends = Counter(tree["status"] for tree in trees)
    dry = " (dry run)" if any(tree["dry_run"] for tree in trees) else ""
    lines = [
        f"{counted(len(trees), 'image')} in {counted(n_groups, 'group')}: "
        + ", ".join(f"{number} {word}" for word, number in ends.items())
        + f" in {seconds:.1f} s{dry}"
    ]
    lines += [f"  {line}" for line in result_lines(trees)]
    failures = failure_groups(trees)
    for failure in failures[:2]:
        names = ", ".join(failure.names[:2]) + (f" and {len(failure.names) - 2} more" if len(failure.names) > 2 else "")
        lines.append(f"  {failure.stage}, {failure.outcome.brief}: {names}. {failure.outcome.remedy}")
    if len(failures) > 2:
        lines.append(f"  {counted(len(failures) - 2, 'further reason')}: see the table of fits or the report")
    return lines + _written_lines(written)


def counted(number: int, word: str) -> str:
    """A number and its noun: 1 image, 2 images."""
    return f"{number} {word}{'' if number == 1 else 's'}"


def result_lines(trees: Sequence[Tree]) -> list[str]:
    """How each stage ended, and how good the result is said to be."""
    lines = [_stage_line(stage, trees) for stage in stages_asked(trees)]
    errors = [max(tree["predicted_error"]["centre"]) for tree in trees if "predicted_error" in tree]
    if errors:
        text = f"stated error of a place per axis: median {np.median(errors):.2g} mas"
        lines.append(text + (f", largest {max(errors):.2g} mas" if len(errors) > 1 else ""))
    return lines


def stages_asked(trees: Sequence[Tree]) -> list[str]:
    """The stages of a run: 'relative', and 'absolute' where it was asked for."""
    requested = Outcome.NOT_REQUESTED.name
    return [
        stage.value for stage in Stage if any(tree["stages"][stage.value]["outcome"] != requested for tree in trees)
    ]


def _stage_line(stage: str, trees: Sequence[Tree]) -> str:
    results = [tree["stages"][stage] for tree in trees]
    ends = Counter(Outcome[result["outcome"]].brief for result in results)
    text = f"{stage}: " + ", ".join(f"{number} {word}" for word, number in ends.items())
    fits = [result for result in results if result["outcome"] == Outcome.ALIGNED.name]
    if not fits:
        return text
    rms, used = (np.median([fit[key] for fit in fits]) for key in ("rms", "n_used"))
    return f"{text}; median rms {rms:.2f} mas of {used:.0f} stars"


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """Images that are not COMPLETE for one reason.

    Attributes
    ----------
    stage : str
    outcome : Outcome
    names : tuple of str
    indices : tuple of int
        Of the images in the run.
    """

    stage: str
    outcome: Outcome
    names: tuple[str, ...]
    indices: tuple[int, ...]


def failure_groups(trees: Sequence[Tree]) -> list[Failure]:
    """Why images are not COMPLETE: what most images have in common comes first."""
    found: dict[tuple[str, str], list[int]] = {}
    for index, tree in enumerate(trees):
        if tree["status"] != Status.COMPLETE.value:
            found.setdefault(_deciding_failure(tree["stages"]), []).append(index)
    groups = [
        Failure(
            stage=stage,
            outcome=Outcome[outcome],
            names=tuple(trees[index]["name"] for index in indices),
            indices=tuple(indices),
        )
        for (stage, outcome), indices in found.items()
    ]
    return sorted(groups, key=lambda failure: -len(failure.names))


def _deciding_failure(stages: Mapping[str, Mapping[str, str]]) -> tuple[str, str]:
    """The stage and outcome that keep an image from being COMPLETE: the relative stage is the first to go wrong."""
    well = {Outcome.ALIGNED.name, Outcome.REFERENCE.name, Outcome.NOT_REQUESTED.name}
    bad = [(stage, result["outcome"]) for stage, result in stages.items() if result["outcome"] not in well]
    told = [each for each in bad if Outcome[each[1]] not in (Outcome.NOT_NEEDED, Outcome.NOT_TIED, Outcome.NO_OVERLAP)]
    return (told or bad)[0]


def _written_lines(written: Sequence[Path]) -> list[str]:
    """What was written where: files that differ only in their beginning are told as one."""
    folders: dict[Path, dict[str, list[str]]] = {}
    for path in written:
        folders.setdefault(path.parent, {}).setdefault(path.name.rsplit("_", 1)[-1], []).append(path.name)
    lines = []
    for folder, kinds in folders.items():
        told = [names[0] if len(names) == 1 else f"*_{end} ({len(names)})" for end, names in kinds.items()]
        lines.append(f"  wrote to {folder.resolve()}: {', '.join(told)}")
    return lines
