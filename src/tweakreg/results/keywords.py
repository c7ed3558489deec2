"""What can be read off the result of an image."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tweakreg.records import Outcome

#: The result of an image, as in ``schemas/fit_result.schema.json``.
Tree = dict[str, Any]


def deciding_stage(tree: Mapping[str, Any]) -> Mapping[str, Any]:
    """The absolute stage where that aligned the image, otherwise the relative one."""
    absolute: Mapping[str, Any] = tree["stages"]["absolute"]
    return absolute if absolute["outcome"] == Outcome.ALIGNED.name else tree["stages"]["relative"]


def keywords(tree: Mapping[str, Any], wcs_name: str) -> list[list[Any]]:
    """FITS keywords of a result as (keyword, value, comment); those of the fit only where there was one."""
    stage = deciding_stage(tree)
    name = "".join(letter if " " <= letter <= "~" else "?" for letter in wcs_name)  # what a header can hold
    cards: list[list[Any]] = [["WCSNAME", name, "name of the WCS"]] if name else []
    if stage["outcome"] == Outcome.ALIGNED.name:
        cards += [
            ["NMATCHES", stage["n_used"], "sources used in the fit"],
            ["RMS_RA", stage["rms_ra"], "[mas] rms of the residuals to the east"],
            ["RMS_DEC", stage["rms_dec"], "[mas] rms of the residuals to the north"],
            ["FITGEOM", stage["geometry"], "what was fitted"],
        ]
    return cards


#: Keywords that `keywords` may give; an earlier alignment's are removed.
KEYWORDS = ("WCSNAME", "NMATCHES", "RMS_RA", "RMS_DEC", "FITGEOM")
