"""A correction: what was done to the images of a group, apart from any file."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import UTC, datetime

from tweakreg.errors import CorrectionError
from tweakreg.observatory.exposure import ExposureState
from tweakreg.plane import TangentPlane
from tweakreg.records import Affine
from tweakreg.results.record import ImageRecord


@dataclass(frozen=True, slots=True, kw_only=True)
class Member:
    """An image that a correction was made for.

    Attributes
    ----------
    name, detector : str
        Of the image.
    before : ExposureState
        WCS, status and result before the correction.
    wcs_hash, corrected_hash : str
        Of its WCS before and after, from `tweakreg.wcs.identity.wcs_hash`.
    """

    name: str
    detector: str
    before: ExposureState
    wcs_hash: str
    corrected_hash: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Correction:
    """What was done to the images of a group.

    Attributes
    ----------
    group : str
        Images of one group have one correction.
    steps : tuple of (TangentPlane, Affine)
        One after another; an alignment is one, a composition has several.
    members : tuple of Member
        The images that it was made for.
    result : ImageRecord or None
        The result of the alignment, of one of the images; that of the last step.
    wcs_name : str
        New name of the WCS; empty to keep the old one.
    author, description : str
        Who made it, and what it is for.
    history : tuple of str
        What was done to the correction itself, and when.
    """

    group: str
    steps: tuple[tuple[TangentPlane, Affine], ...]
    members: tuple[Member, ...]
    result: ImageRecord | None = None
    wcs_name: str = ""
    author: str = ""
    description: str = ""
    history: tuple[str, ...] = ()

    def __str__(self) -> str:
        """In lines for people."""
        lines = [f"correction of group {self.group}, WCS name {self.wcs_name or '(unchanged)'}"]
        for label in ("author", "description"):
            if getattr(self, label):
                lines.append(f"{label}: {getattr(self, label)}")
        for plane, affine in self.steps:
            east, north = affine.shift * 1000.0
            lines.append(
                f"around ({plane.ra:.6f}, {plane.dec:+.6f}): shift ({east:+.3f}, {north:+.3f}) mas, "
                f"rotation {affine.rotation:+.6f} degrees, scale {affine.scale:.8f}"
            )
        for member in self.members:
            lines.append(
                f"made for {member.name} ({member.detector}), WCS {member.wcs_hash} -> {member.corrected_hash}"
            )
        for stage in () if self.result is None else self.result.stages:
            rms = "" if stage.fit is None else f", {stage.fit.n_used} sources, rms {stage.fit.rms:.2f} mas"
            lines.append(f"{stage.stage.value}: {stage.outcome.name}{rms}")
        return "\n".join([*lines, *self.history])


def compose_corrections(first: Correction, second: Correction, *, any_wcs: bool = False) -> Correction:
    """The correction that does what two do, one after the other.

    Parameters
    ----------
    first, second : Correction
        In the order in which they are applied.
    any_wcs : bool
        Also if the second was not made for what the first makes.

    Returns
    -------
    Correction
        For the images of the first.

    Raises
    ------
    CorrectionError
        The second was not made for what the first makes, and `any_wcs` is not set.
    """
    after = {member.wcs_hash: member for member in second.members}
    linked = [member for member in first.members if member.corrected_hash in after]
    if len(linked) < len(first.members) and not any_wcs:
        raise CorrectionError(
            second.group, f"was not made for what the correction of {first.group} makes; any_wcs (--any-wcs) joins them"
        )
    members = tuple(
        replace(member, corrected_hash=after[member.corrected_hash].corrected_hash)
        if member.corrected_hash in after
        else replace(member, corrected_hash="")
        for member in first.members
    )
    note = f"{datetime.now(UTC).isoformat(timespec='seconds')}: composed of {first.group} and {second.group}"
    return Correction(
        group=first.group,
        steps=first.steps + second.steps,
        members=members,
        result=second.result,
        wcs_name=second.wcs_name or first.wcs_name,
        author=second.author or first.author,
        description="; ".join(filter(None, (first.description, second.description))),
        history=(*first.history, *second.history, note),
    )
