"""A FITS SIP approximation of a GWCS."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from tweakreg.process import recorded
from tweakreg.records import SipConfig
from tweakreg.wcs.footprint import Bounds

#: Highest polynomial degree that is tried.
MAX_DEGREE = 6


@dataclass(frozen=True, slots=True, kw_only=True)
class SipApproximation:
    """FITS keywords of a SIP approximation.

    Attributes
    ----------
    keywords : dict
        Lower-case FITS keywords and values.
    problem : str
        Why the accuracy that was asked for is not reached; empty if it is.
    """

    keywords: dict[str, Any]
    problem: str


def approximate(wcs: Any, config: SipConfig, bounds: Bounds, crpix: tuple[float, float] | None) -> SipApproximation:
    """Fit a SIP polynomial to a GWCS.

    Parameters
    ----------
    wcs : gwcs.WCS
        That is approximated.
    config : SipConfig
        Accuracy and degrees.
    bounds : Bounds
        Pixels over which it is to hold.
    crpix : (float, float) or None
        FITS reference pixel, 1-based; None takes the centre.

    Returns
    -------
    SipApproximation
    """
    degrees = range(1, min(MAX_DEGREE, config.npoints - 2) + 1)
    with recorded() as caught:
        header = wcs.to_fits_sip(
            bounding_box=bounds,
            max_pix_error=config.max_pix_error,
            degree=degrees if config.degree is None else config.degree,
            max_inv_pix_error=config.max_inv_pix_error,
            inv_degree=degrees if config.inv_degree is None else config.inv_degree,
            npoints=config.npoints,
            crpix=None if crpix is None else list(crpix),
            projection="TAN",
        )
    problem = "; ".join(str(item.message) for item in caught if "SIP" in str(item.message))
    keywords = {str(key).lower(): value for key, value in header.items() if not str(key).startswith("NAXIS")}
    return SipApproximation(keywords=keywords, problem=problem)


def is_sip_keyword(name: str) -> bool:
    """Whether a lower-case keyword belongs to an approximation that a new one must replace."""
    prefix, _, rest = name.partition("_")
    if prefix in {"a", "b", "ap", "bp"}:
        return rest == "order" or rest.replace("_", "").isdigit()
    if prefix[:2] in {"pc", "cd"}:
        return prefix[2:].isdigit() and rest.isdigit()
    return name in {"cdelt1", "cdelt2", "sipmxerr", "sipiverr"}
