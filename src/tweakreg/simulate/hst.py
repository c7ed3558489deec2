"""Simulated exposures in the form of HST's: chips with a SIP WCS in their headers."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby
from pathlib import Path
from typing import Any

import asdf
import numpy as np

from tweakreg.files import staging
from tweakreg.process import silenced
from tweakreg.simulate.pixels import render
from tweakreg.simulate.scene import Scene, SimulatedExposure

#: What flags are called in HST's DQ arrays.
_SATURATED, _BAD = 256, 4
#: Of the SIP approximation of a simulated WCS, pixels: far below what an alignment can reach.
_SIP_ERROR = 1e-6


def make_hdus(scene: Scene, chips: Sequence[SimulatedExposure], *, pixels: bool = True) -> Any:
    """An exposure of HST as an HDUList: SCI, ERR and DQ of each chip.

    Parameters
    ----------
    scene : Scene
        The stars.
    chips : sequence of SimulatedExposure
        The detectors of one exposure.
    pixels : bool
        Whether they are drawn; otherwise zero.
    """
    from astropy.io import fits

    first = chips[0]
    root = rootname(first)
    start = 60676.0 + 365.25 * (first.epoch - 2025.0)
    primary = fits.PrimaryHDU()
    for name, value in {
        "TELESCOP": "HST", "INSTRUME": "ACS", "DETECTOR": "WFC", "FILTER1": "F606W", "FILTER2": "CLEAR2L",
        "ROOTNAME": root, "FILENAME": f"{root}_flc.fits", "EXPSTART": start, "EXPEND": start + 0.02,
        "DATE-OBS": "2025-01-01", "TIME-OBS": "00:00:00", "MTFLAG": "", "TARGNAME": "SIMULATED",
        "IDCTAB": "jref$sim_idc.fits",
    }.items():  # fmt: skip
        primary.header[name] = value
    hdus = fits.HDUList([primary])
    for number, chip in enumerate(chips, start=1):
        hdus.extend(_chip(scene, chip, number, pixels=pixels))
    return hdus


def rootname(exposure: SimulatedExposure) -> str:
    """ROOTNAME of an exposure, as HST counts."""
    return f"jsim{exposure.visit + 1:02d}{exposure.number + 1:02d}q"


def _chip(scene: Scene, exposure: SimulatedExposure, number: int, *, pixels: bool) -> list[Any]:
    """SCI, ERR and DQ."""
    from astropy.io import fits

    size = scene.config.size
    data, error, dq = np.zeros((size, size)), np.ones((size, size)), np.zeros((size, size), dtype=np.int16)
    if pixels:
        data, error, saturated, bad = render(scene, exposure)
        dq = (saturated * _SATURATED + bad * _BAD).astype(np.int16)
    edges = (-0.5, size - 0.5)
    with silenced():
        wcs = exposure.wcs.to_fits_sip(
            bounding_box=(edges, edges), max_pix_error=_SIP_ERROR, max_inv_pix_error=None, npoints=16
        )
    hdus = [
        fits.ImageHDU(data.astype(np.float32), name="SCI", ver=number),
        fits.ImageHDU(error.astype(np.float32), name="ERR", ver=number),
        fits.ImageHDU(dq, name="DQ", ver=number),
    ]
    header = hdus[0].header
    header["CCDCHIP"], header["BUNIT"] = number, "ELECTRONS"
    for card in wcs.cards:
        if not card.keyword.startswith(("NAXIS", "SIP", "MJD", "LATPOLE")):
            header[card.keyword] = (card.value, card.comment)
    header["WCSNAME"] = "IDC_sim"
    return hdus


def write_hst_scene(scene: Scene, directory: Path) -> list[Path]:
    """Write the exposures as ``_flc.fits`` files, ``refcat.ecsv`` and ``truth.asdf``; gives the exposures."""
    names: list[str] = []
    truth: dict[str, Any] = {}
    with staging(directory) as temporary:
        ordered = sorted(scene.exposures, key=lambda each: each.number)
        for _, chips in groupby(ordered, key=lambda each: each.number):
            members = list(chips)
            hdus = make_hdus(scene, members)
            names.append(hdus[0].header["FILENAME"])
            truth |= {f"{rootname(chip)}_flc_sci{version}": chip.truth for version, chip in enumerate(members, start=1)}
            hdus.writeto(temporary / names[-1])
        scene.reference_catalog().write(temporary / "refcat.ecsv", format="ascii.ecsv")
        asdf.AsdfFile({"truth": truth}).write_to(temporary / "truth.asdf")
    return [directory / name for name in names]
