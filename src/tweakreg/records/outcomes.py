"""How a stage ended, and what follows from it for an image."""

from __future__ import annotations

import enum


class Stage(enum.Enum):
    """The two alignments of a run."""

    RELATIVE = "relative"
    ABSOLUTE = "absolute"


class Outcome(enum.Enum):
    """How a stage ended for one group of images; the value is the sentence a person reads."""

    ALIGNED = "aligned"
    REFERENCE = "reference: the others were aligned to it"
    NOT_NEEDED = "only one exposure, nothing to align it to: set abs_refcat"
    NOT_REQUESTED = "not requested"
    TOO_FEW_SOURCES = "too few sources: lower snr_threshold or minobj, or check kernel_fwhm"
    TOO_FEW_MATCHES = "too few matches: check searchrad, tolerance and the source finding"
    AMBIGUOUS = "ambiguous: the matches could be chance, or two offsets explain them equally well"
    WORSE = "the fit makes sources that it did not use worse: use a simpler fitgeometry"
    TOO_LARGE = "the correction is larger than searchrad and tolerance allow"
    SINGULAR = "the matched stars do not determine the fit: use a simpler fitgeometry"
    NO_OVERLAP = "no overlap with the other exposures"
    NOT_TIED = "not aligned to the other exposures: the absolute stage says whether the catalog ties it"
    NO_REFERENCE = "there is no usable reference catalog"
    NOTHING_ALIGNED = "the others could not be aligned to it"
    UNSUPPORTED_WCS = "the WCS has no V2-V3 frame in which it could be corrected"

    @property
    def sentence(self) -> str:
        """What happened, and where it helps, what to change."""
        return self.value

    @property
    def brief(self) -> str:
        """What happened, without what to change."""
        return self.value.split(":")[0]

    @property
    def remedy(self) -> str:
        """What a person can do about it."""
        return _REMEDIES[self.name]


_REMEDIES = {
    "ALIGNED": "None is needed; the log line has the number of matches and the rms.",
    "REFERENCE": "None is needed: its pointing defines that of the others, and the absolute stage corrects all.",
    "NOT_NEEDED": "Set abs_refcat to align it to a catalog, or give the step more exposures.",
    "NOT_REQUESTED": "Set abs_refcat to ask for it.",
    "TOO_FEW_SOURCES": (
        "Lower snr_threshold; set kernel_fwhm to the width of the stars; widen sharplo, sharphi and roundhi; try "
        "another starfinder, or bring a catalog. In a field without stars, lower minobj, as far as max_false_prob "
        "allows."
    ),
    "TOO_FEW_MATCHES": (
        "Raise searchrad if the pointing may be off by more; raise brightest, so that both catalogs reach the same "
        "stars; lower minobj in sparse fields. Few common sources at all mean false detections: raise "
        "snr_threshold."
    ),
    "AMBIGUOUS": (
        "Give the match more stars: raise brightest, lower snr_threshold. Make the search smaller: lower "
        "searchrad, or set xoffset and yoffset if the offset is known. To accept the risk, raise max_false_prob or "
        "max_rival."
    ),
    "WORSE": "Use a simpler fitgeometry, give the fit more stars, or raise max_worsening.",
    "TOO_LARGE": (
        "Raise searchrad if an error of the pointing as large as this is possible; otherwise the match is false."
    ),
    "SINGULAR": "Use fitgeometry shift or rshift, or give the fit more stars that are spread over the image.",
    "NO_OVERLAP": "Set abs_refcat, so that the catalog ties it, or leave the exposure to a run of its own.",
    "NOT_TIED": "Look at the absolute stage of the image: if that is aligned, all is well.",
    "NO_REFERENCE": (
        "If a service did not answer, set abs_fallback, or fetch a bundle where there is a network, with "
        "tweakreg refcat fetch, and use that as abs_refcat."
    ),
    "NOTHING_ALIGNED": "Look at the other images' outcomes: their remedies help here.",
    "UNSUPPORTED_WCS": "Run assign_wcs on the exposure again: its WCS is no imaging WCS with a frame v2v3.",
}


class Status(enum.Enum):
    """Values of ``meta.cal_step.tweakreg``."""

    COMPLETE = "COMPLETE"
    FAILED = "FAILED"
    SKIPPED = "SKIPPED"


_RELATIVE_SUCCESS = {Outcome.ALIGNED, Outcome.REFERENCE}


_ABSOLUTE_REPLACES = {Outcome.NOT_NEEDED, Outcome.NO_OVERLAP, Outcome.NOT_TIED}


def status(relative: Outcome, absolute: Outcome) -> Status:
    """The one table from outcomes to ``cal_step``.

    COMPLETE if every requested stage succeeded. An image that could not be tied to
    the others is complete where the reference catalog ties it instead.
    """
    if absolute is Outcome.NOT_REQUESTED:
        return Status.COMPLETE if relative in _RELATIVE_SUCCESS else Status.FAILED
    relative_ok = relative in _RELATIVE_SUCCESS | _ABSOLUTE_REPLACES
    return Status.COMPLETE if relative_ok and absolute is Outcome.ALIGNED else Status.FAILED
