"""What the log says: a line per image and stage, and a summary."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from tweakreg.records import GROUP, Outcome, Stage, for_stage
from tweakreg.results.record import FitRecord, ImageRecord, PatternRecord, StageRecord


def result_line(name: str, stage: StageRecord) -> str:
    """What happened to an image in a stage, and why.

    Parameters
    ----------
    name : str
        Name of the image.
    stage : StageRecord
        How the stage ended.
    """
    text = f"{stage.stage.value}: {name}: "
    if stage.aligned is None:
        return text + stage.reason
    return text + _fit_text(stage, stage.aligned) + (f", {stage.detail}" if stage.detail else "")


def _fit_text(stage: StageRecord, fit: FitRecord) -> str:
    kind = "group" if stage.stage is Stage.RELATIVE else "catalog"
    east, north = fit.transformation.shift
    return (
        f"aligned to {kind} {stage.matched_with}: {fit.n_matched} matches, {fit.n_clipped} clipped, "
        f"rms {fit.rms:.2f} mas, {fit.geometry} ({east:+.2f}, {north:+.2f}) mas, "
        f"{fit.transformation.turn:+.5f}°, p(chance) {chance_text(fit.false_probability)}"
    )


def run_lines(records: Sequence[ImageRecord]) -> Iterator[tuple[bool, str]]:
    """What happened to all images: whether it is as it should be, and the line.

    Parameters
    ----------
    records : sequence of ImageRecord
        Of all images.

    Yields
    ------
    (bool, str)
        A line per image and stage, or one for all images of a group that it is true of; then its pattern, if any.
    """
    sharing: dict[tuple[str, str], list[str]] = {}
    for record in records:
        for stage in record.asked:
            sharing.setdefault((record.group, result_line("", stage)), []).append(record.name)
    for record in records:
        for stage in record.asked:
            names = sharing.pop((record.group, result_line("", stage)), None)
            if names:  # else it was told already
                some = names[0] if len(names) == 1 else f"group {record.group} ({len(names)} images)"
                yield stage.outcome.succeeded, result_line(some, stage)
        if record.pattern is not None and record.pattern.term != GROUP:
            yield False, _pattern_text(record.name, record.pattern)


def _pattern_text(name: str, pattern: PatternRecord) -> str:
    return (
        f"{name}: its residuals have a pattern of {pattern.size:.2f} mas ({pattern.term}, "
        f"p = {pattern.probability:.1g}), which is in the stated error"
    )


def chance_text(probability: float) -> str:
    """A probability that may be too small for a number."""
    return f"{probability:.1g}" if probability > 0.0 else "< 1e-300"


def summary_lines(records: Sequence[ImageRecord], written: Sequence[Path], seconds: float) -> list[str]:
    """How a run ended, in ten lines at most.

    Parameters
    ----------
    records : sequence of ImageRecord
        Of all images.
    written : sequence of Path
        All files that were written.
    seconds : float
        How long the run took.

    Returns
    -------
    list of str
        To be logged.
    """
    lines = [headline(records, seconds), *(f"  {line}" for line in result_lines(records))]
    failures = failure_groups(records)
    for failure in failures[:2]:
        names = ", ".join(failure.names[:2]) + (f" and {len(failure.names) - 2} more" if len(failure.names) > 2 else "")
        lines.append(f"  {failure.stage}, {failure.outcome.brief}: {names}. {failure.remedy}")
    if len(failures) > 2:
        lines.append(f"  {counted(len(failures) - 2, 'further reason')}: see the table of fits or the report")
    return lines + _written_lines(written)


def headline(records: Sequence[ImageRecord], seconds: float | None = None) -> str:
    """How many images there were, and how they ended."""
    n_groups = len({record.group for record in records})
    ends = Counter(record.status.value for record in records)
    dry = " (dry run)" if any(record.dry_run for record in records) else ""
    took = "" if seconds is None else f" in {seconds:.1f} s"
    how = ", ".join(f"{number} {word}" for word, number in ends.items())
    return f"{counted(len(records), 'image')} in {counted(n_groups, 'group')}: {how}{took}{dry}"


def counted(number: int, word: str) -> str:
    """A number and its noun: 1 image, 2 images."""
    return f"{number} {word}{'' if number == 1 else 's'}"


def result_lines(records: Sequence[ImageRecord]) -> list[str]:
    """How each stage ended, and how good the result is said to be."""
    lines = [
        _stage_line([stage for record in records for stage in record.stages if stage.stage is asked])
        for asked in stages_asked(records)
    ]
    errors = [max(record.stated_error.centre) for record in records if record.stated_error is not None]
    if errors:
        text = f"stated error of a place per axis: median {np.median(errors):.2g} mas"
        lines.append(text + (f", largest {max(errors):.2g} mas" if len(errors) > 1 else ""))
        patterns = [record.pattern.size for record in records if record.pattern is not None]
        if patterns:
            some = counted(len(patterns), "image")
            lines[-1] += f"; {some} with a pattern in the residuals, up to {max(patterns):.2g} mas"
    shared = {record.stated_error.shared for record in records if record.stated_error is not None} - {0.0}
    if shared:
        known = [f"{size:.0f} mas" for size in sorted(each for each in shared if np.isfinite(each))]
        typical = f", typically {' or '.join(known)}" if known else ""
        lines.append(f"not in it, because no exposure can see what all share: detector places, distortion{typical}")
    return lines


def stages_asked(records: Sequence[ImageRecord]) -> list[Stage]:
    """The stages of a run: the relative one, and the absolute one where it was asked for."""
    asked = {stage.stage for record in records for stage in record.asked}
    return [stage for stage in Stage if stage in asked]


def _stage_line(stages: Sequence[StageRecord]) -> str:
    ends = Counter(stage.outcome.brief for stage in stages)
    text = f"{stages[0].stage.value}: " + ", ".join(f"{number} {word}" for word, number in ends.items())
    fits = [stage.aligned for stage in stages if stage.aligned is not None]
    if not fits:
        return text
    rms, used = np.median([fit.rms for fit in fits]), np.median([fit.n_used for fit in fits])
    return f"{text}; median rms {rms:.2f} mas of {used:.0f} stars"


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """Images that are not COMPLETE for one reason.

    Attributes
    ----------
    stage : str
        'relative' or 'absolute'.
    outcome : Outcome
        How it ended for them.
    names : tuple of str
        Of the images.
    indices : tuple of int
        Of the images in the run.
    """

    stage: str
    outcome: Outcome
    names: tuple[str, ...]
    indices: tuple[int, ...]

    @property
    def remedy(self) -> str:
        """What can be done about it, with the names that parameters have in the stage."""
        return for_stage(self.outcome.remedy, Stage(self.stage))


def failure_groups(records: Sequence[ImageRecord]) -> list[Failure]:
    """Why images are not COMPLETE: what most images have in common comes first."""
    found: dict[tuple[str, Outcome], list[int]] = {}
    for index, record in enumerate(records):
        failure = record.failure
        if failure is not None:
            found.setdefault((failure.stage.value, failure.outcome), []).append(index)
    groups = [
        Failure(
            stage=stage,
            outcome=outcome,
            names=tuple(records[index].name for index in indices),
            indices=tuple(indices),
        )
        for (stage, outcome), indices in found.items()
    ]
    return sorted(groups, key=lambda failure: -len(failure.names))


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
