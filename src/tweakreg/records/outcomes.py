"""How a stage ended, and what follows from it for an image."""

from __future__ import annotations

import enum
import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from tweakreg.spec import DEFAULTS


class Stage(enum.Enum):
    """The two alignments of a run."""

    RELATIVE = "relative"
    ABSOLUTE = "absolute"


@dataclass(frozen=True, slots=True)
class _Meaning:
    """What an outcome says and implies; see the properties of `Outcome`."""

    sentence: str
    remedy: str
    succeeded: bool = False
    apart: bool = False
    catalog_replaces: bool = False
    narrower_may_help: bool = False


def for_stage(text: str, stage: Stage) -> str:
    """Advice with the names that parameters have in a stage.

    Parameters
    ----------
    text : str
        With the names of the relative stage.
    stage : Stage
        In the absolute one parameters of its own begin with ``abs_``.
    """
    if stage is Stage.RELATIVE:
        return text

    def named(word: re.Match[str]) -> str:
        return f"abs_{word[0]}" if {word[0], f"abs_{word[0]}"} <= DEFAULTS.keys() else word[0]

    return re.sub(r"[a-z0-9_]+", named, text)


class Outcome(enum.Enum):
    """How a stage ended for one group of images: what a person reads, and what follows from it."""

    ALIGNED = _Meaning("aligned", "None is needed; the log line has the number of matches and the rms.", succeeded=True)
    REFERENCE = _Meaning(
        "reference: the others were aligned to it",
        "None is needed: its pointing defines that of the others, and the absolute stage corrects all.",
        succeeded=True,
    )
    NOT_NEEDED = _Meaning(
        "only one exposure, nothing to align it to: set abs_refcat",
        "Set abs_refcat to align it to a catalog, or give the step more exposures.",
        catalog_replaces=True,
    )
    NOT_REQUESTED = _Meaning("not requested", "Set abs_refcat to ask for it.")
    TOO_FEW_SOURCES = _Meaning(
        "too few sources: lower snr_threshold or minobj, or check kernel_fwhm",
        "Lower snr_threshold; set kernel_fwhm to the width of the stars; widen sharplo, sharphi and roundhi; try "
        "another starfinder, or bring a catalog. In a field without stars, lower minobj, as far as max_false_prob "
        "allows.",
    )
    TOO_FEW_MATCHES = _Meaning(
        "too few matches: check searchrad, tolerance and the source finding",
        "Raise searchrad if the pointing may be off by more; raise brightest, so that both catalogs reach the same "
        "stars; lower minobj in sparse fields. Few common sources at all mean false detections: raise "
        "snr_threshold.",
        narrower_may_help=True,
    )
    AMBIGUOUS = _Meaning(
        "ambiguous: the matches could be chance, or two offsets explain them equally well",
        "Give the match more stars: raise brightest, lower snr_threshold. Make the search smaller: lower "
        "searchrad, or set xoffset and yoffset if the offset is known. To accept the risk, raise max_false_prob or "
        "max_rival.",
        narrower_may_help=True,
    )
    WORSE = _Meaning(
        "the fit makes sources that it did not use worse: use a simpler fitgeometry",
        "Use a simpler fitgeometry, give the fit more stars, or raise max_worsening.",
    )
    MISFIT = _Meaning(
        "the residuals have a shape that the fit does not have",
        "The detail says which: a detector that is out of its place (group_by=detector), a scale (fitgeometry rscale), "
        "a distortion (fitgeometry general, or a newer distortion file). To accept it, raise max_misfit: the stated "
        "error then holds it.",
    )
    TOO_LARGE = _Meaning(
        "the correction is larger than searchrad and tolerance allow",
        "Raise searchrad if an error of the pointing as large as this is possible; otherwise the match is false.",
    )
    SINGULAR = _Meaning(
        "the matched stars do not determine the fit: use a simpler fitgeometry",
        "Use fitgeometry shift or rshift, or give the fit more stars that are spread over the image.",
    )
    NO_OVERLAP = _Meaning(
        "no overlap with the other exposures",
        "Set abs_refcat, so that the catalog ties it, or leave the exposure to a run of its own.",
        apart=True,
        catalog_replaces=True,
    )
    NOT_TIED = _Meaning(
        "not aligned to the other exposures: the absolute stage says whether the catalog ties it",
        "Look at the absolute stage of the image: if that is aligned, all is well.",
        apart=True,
        catalog_replaces=True,
    )
    ELSEWHERE = _Meaning(
        "no star of the reference catalog lies on the exposures",
        "Give the catalog of this field. If it is, its columns are not what they seem: set refxcol and refycol, and "
        "refxyunits; positions have to be ICRS.",
    )
    NO_REFERENCE = _Meaning(
        "there is no usable reference catalog",
        "If a service did not answer, set abs_fallback, or fetch a bundle where there is a network, with "
        "tweakreg refcat fetch, and use that as abs_refcat.",
    )
    NOTHING_ALIGNED = _Meaning(
        "the others could not be aligned to it", "Look at the other images' outcomes: their remedies help here."
    )
    UNSUPPORTED_WCS = _Meaning(
        "the WCS has no V2-V3 frame in which it could be corrected",
        "Run assign_wcs on the exposure again: its WCS is no imaging WCS with a frame v2v3.",
    )

    IMPLAUSIBLE = _Meaning(
        "its WCS or the metadata that belong to it cannot be those of an exposure",
        "The detail names the keyword: mend it, and run assign_wcs on the exposure again, or leave the exposure out.",
    )
    NO_EXPOSURE = _Meaning(
        "it is a combined image, not an exposure of a detector: it has no frame in which it could be corrected",
        "Leave it out. To align exposures to it, give it as refimage, with a catalog of its sources as abs_refcat "
        "where you have one.",
    )
    FAR_AWAY = _Meaning(
        "it lies far from the other exposures: align distant fields in runs of their own",
        "Leave it out, or mend its WCS if it was not taken there.",
    )
    MOVING_TARGET = _Meaning(
        "the telescope followed a moving target: stars are trails and no fixed points",
        "Leave the exposure out. If its stars are points all the same, bring a catalog of them, or set "
        "meta.target.type (TARGTYPE) to FIXED.",
    )

    NOT_DITHERED = _Meaning(
        "most detections stay on the detector while its WCS moves: artefacts, or a sky that did not move",
        "Artefacts: flag them in the DQ array, or narrow sharplo and sharphi, so that stars are left. If the telescope "
        "did not move, the pointing in the file is wrong: mend its WCS, or bring catalogs of the stars with "
        "use_custom_catalogs, which are taken as they are.",
    )

    @property
    def sentence(self) -> str:
        """What happened, and where it helps, what to change."""
        return self.value.sentence

    @property
    def brief(self) -> str:
        """What happened, without what to change."""
        return self.sentence.split(":")[0]

    @property
    def remedy(self) -> str:
        """What a person can do about it."""
        return self.value.remedy

    @property
    def succeeded(self) -> bool:
        """Whether the stage gave the group a place that is known to be right."""
        return self.value.succeeded

    @property
    def requested(self) -> bool:
        """Whether the stage was asked for."""
        return self is not Outcome.NOT_REQUESTED

    @property
    def apart(self) -> bool:
        """Whether the group is not aligned to the others through no fault of its own."""
        return self.value.apart

    @property
    def catalog_replaces(self) -> bool:
        """Whether a tie to the reference catalog makes up for what this relative stage did not give."""
        return self.value.catalog_replaces

    @property
    def narrower_may_help(self) -> bool:
        """Whether pairs that are sought within less may end better, as in a crowded field."""
        return self.value.narrower_may_help


@dataclass(frozen=True, slots=True)
class Detail:
    """The numbers behind an outcome, and the words in which a person is told.

    Attributes
    ----------
    words : str
        Where there are numbers, with their names in braces as `str.format` has it; otherwise as it is.
    numbers : mapping of str to float
        The numbers by name.
    """

    words: str = ""
    numbers: Mapping[str, float] = field(default_factory=dict)

    def __str__(self) -> str:
        return self.words.format(**self.numbers) if self.numbers else self.words

    def __bool__(self) -> bool:
        return bool(self.words)


class Status(enum.Enum):
    """Values of ``meta.cal_step.tweakreg``."""

    COMPLETE = "COMPLETE"
    FAILED = "FAILED"
    SKIPPED = "SKIPPED"


def status(relative: Outcome, absolute: Outcome) -> Status:
    """The one rule from outcomes to ``cal_step``.

    COMPLETE if every requested stage succeeded. An image that could not be tied to
    the others is complete where the reference catalog ties it instead.

    Parameters
    ----------
    relative, absolute : Outcome
        How the two stages ended for an image.
    """
    if not absolute.requested:
        return Status.COMPLETE if relative.succeeded else Status.FAILED
    tied = absolute is Outcome.ALIGNED and (relative.succeeded or relative.catalog_replaces)
    return Status.COMPLETE if tied else Status.FAILED
