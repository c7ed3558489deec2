"""Simulated exposures as datamodels and files."""

from __future__ import annotations

import json
from collections.abc import Iterator
from copy import deepcopy
from pathlib import Path
from typing import Any

import asdf
import numpy as np

from tweakreg.files import staging
from tweakreg.records import SourceCatalog
from tweakreg.simulate.pixels import render
from tweakreg.simulate.scene import Scene, SceneConfig, SimulatedExposure
from tweakreg.wcs.footprint import pixel_bounds, s_region, to_pixels


def make_model(scene: Scene, exposure: SimulatedExposure, *, pixels: bool = True) -> Any:
    """An exposure as a calibrated ImageModel; without `pixels` its image is zero."""
    from stdatamodels.jwst import datamodels

    size = scene.config.size
    model = datamodels.ImageModel((size, size))
    if pixels:
        data, error, saturated, bad = render(scene, exposure)
        flags = datamodels.dqflags.pixel
        model.data, model.err = data.astype(np.float32), error.astype(np.float32)
        model.dq = (
            saturated * (flags["SATURATED"] | flags["DO_NOT_USE"]) + bad * np.uint32(flags["DO_NOT_USE"])
        ).astype(np.uint32)
    _set_metadata(model, scene.config, exposure)
    model.meta.wcs = deepcopy(exposure.wcs)
    model.meta.wcsinfo.s_region = s_region(exposure.wcs, pixel_bounds(exposure.wcs, (size, size)))
    return model


def _set_metadata(model: Any, config: SceneConfig, exposure: SimulatedExposure) -> None:
    detector, meta = exposure.detector, model.meta
    local = exposure.pointing.at(detector.v2_ref, detector.v3_ref)
    meta.filename = exposure.filename
    meta.telescope = "JWST"
    meta.observation.instance.update(
        date="2025-01-01",
        time="00:00:00.000",
        program_number="09999",
        observation_number="001",
        visit_number=f"{exposure.visit + 1:03d}",
        visit_group=config.visit_group,
        sequence_id="1",
        activity_id="01",
        exposure_number=str(exposure.number + 1),
    )
    meta.instrument.instance.update(
        name="NIRCAM",
        detector=detector.name,
        channel="SHORT",
        module=detector.name[3],
        filter=config.filter,
        pupil="CLEAR",
    )
    start = 60676.0 + 365.25 * (exposure.epoch - 2025.0)
    meta.exposure.instance.update(type="NRC_IMAGE", start_time=start, mid_time=start + 0.01, end_time=start + 0.02)
    meta.exposure.instance.update(exposure_time=1728.0, effective_exposure_time=1728.0, measurement_time=1728.0)
    meta.subarray.instance.update(name="FULL", xstart=1, ystart=1, xsize=detector.size, ysize=detector.size)
    meta.wcsinfo.instance.update(
        wcsaxes=2,
        ra_ref=local.ra,
        dec_ref=local.dec,
        roll_ref=local.roll,
        v2_ref=detector.v2_ref,
        v3_ref=detector.v3_ref,
        v3yangle=detector.v3yangle,
        vparity=detector.vparity,
        crpix1=(detector.size + 1.0) / 2.0,
        crpix2=(detector.size + 1.0) / 2.0,
    )
    meta.cal_step.assign_wcs = "COMPLETE"


#: Steps of the pipeline whose status the files of Roman must have.
_ROMAN_STEPS = (
    "assign_wcs", "dark", "dark_decay", "dq_init", "flat_field", "flux", "linearity", "outlier_detection", "photom",
    "ramp_fit", "refpix", "saturation", "skymatch", "source_catalog", "tweakreg", "wfi18_transient",
)  # fmt: skip
_LOCAL = ("ra", "dec", "roll")


def make_roman_model(scene: Scene, exposure: SimulatedExposure, *, pixels: bool = True) -> Any:
    """An exposure as a calibrated ImageModel of Roman, whose detector WFI01 is the scene's NRCA1, and so on.

    Parameters
    ----------
    scene : Scene
        With aberration its WCS have the frames that romancal gives them.
    exposure : SimulatedExposure
        Which of its exposures.
    pixels : bool
        Otherwise its image is zero.
    """
    from astropy.time import Time
    from roman_datamodels import datamodels, dqflags

    size, detector = scene.config.size, exposure.detector
    name = f"WFI{'AB'.index(detector.name[3]) * 4 + int(detector.name[4]):02d}"
    local = exposure.pointing.at(detector.v2_ref, detector.v3_ref)
    time, visit = Time(exposure.epoch, format="jyear"), f"00009990010010010{exposure.visit + 1:02d}"
    meta = {
        "filename": f"r{visit}_{exposure.number + 1:04d}_{name.lower()}_f158_cal.asdf",
        "cal_step": dict.fromkeys(_ROMAN_STEPS, "INCOMPLETE") | {"assign_wcs": "COMPLETE"},
        "instrument": {"name": "WFI", "detector": name, "optical_element": "F158"},
        "exposure": {"type": "WFI_IMAGE", "start_time": time, "mid_time": time, "end_time": time},
        "observation": {"observation_id": f"{visit}{exposure.number + 1:04d}"},
        "wcsinfo": {
            **{f"{each}_ref": getattr(local, each) for each in _LOCAL},
            "v2_ref": detector.v2_ref,
            "v3_ref": detector.v3_ref,
            "v3yangle": detector.v3yangle,
            "vparity": detector.vparity,
            "s_region": s_region(exposure.wcs, pixel_bounds(exposure.wcs, (size, size))),
        },
    }
    model = datamodels.ImageModel.create_fake_data({"meta": meta}, shape=(size, size))
    model.meta["wcs"] = deepcopy(exposure.wcs)
    if pixels:
        data, error, saturated, bad = render(scene, exposure)
        flags = dqflags.pixel
        model["data"], model["err"] = data.astype(np.float32), error.astype(np.float16)
        unusable = saturated * int(flags.SATURATED | flags.DO_NOT_USE) + bad * int(flags.DO_NOT_USE)
        model["dq"] = unusable.astype(np.uint32)
    return model


def write_roman_scene(scene: Scene, directory: Path) -> list[Path]:
    """Write the exposures of `make_roman_model`, ``refcat.ecsv`` and ``truth.asdf``; gives the exposures."""
    truth = {}
    with staging(directory) as temporary:
        for exposure in scene.exposures:
            model = make_roman_model(scene, exposure)
            model.save(temporary / model.meta.filename)
            truth[str(model.meta.filename)] = exposure.truth
        scene.reference_catalog().write(temporary / "refcat.ecsv", format="ascii.ecsv")
        asdf.AsdfFile({"truth": truth}).write_to(temporary / "truth.asdf")
    return [directory / name for name in truth]


def make_models(scene: Scene, *, pixels: bool = True) -> Iterator[Any]:
    """All exposures, one after another."""
    for exposure in scene.exposures:
        yield make_model(scene, exposure, pixels=pixels)


def make_catalog(
    scene: Scene, exposure: SimulatedExposure, *, noise: float = 0.01, missing: float = 0.0, false: float = 0.0
) -> SourceCatalog:
    """A catalog as a star finder would make it, without drawing the pixels.

    Parameters
    ----------
    scene : Scene
        The stars.
    exposure : SimulatedExposure
        Which of its exposures.
    noise : float
        Standard deviation of the positions per axis, pixels.
    missing, false : float
        Share of the stars that are left out, and number of false detections per star.
    """
    size = scene.config.size
    rng = np.random.default_rng((scene.config.seed, exposure.number, sum(map(ord, exposure.detector.name)), 7))
    x, y = to_pixels(exposure.truth, *scene.at(exposure.epoch))
    seen = (x > 0.0) & (x < size - 1.0) & (y > 0.0) & (y < size - 1.0)
    seen &= (rng.uniform(size=len(x)) >= missing) & (exposure.number not in scene.config.blank)
    position = np.column_stack([x[seen], y[seen]]) + rng.normal(scale=noise, size=(int(seen.sum()), 2))
    extra = rng.uniform(0.0, size - 1.0, size=(int(false * seen.sum()), 2))
    flux = np.concatenate([scene.flux[seen], rng.choice(scene.flux, size=len(extra))])
    position = np.concatenate([position, extra])
    return SourceCatalog(x=position[:, 0], y=position[:, 1], flux=flux, name=exposure.filename)


def write_scene(scene: Scene, directory: Path, *, name: str = "scene") -> Path:
    """Write exposures, ``refcat.ecsv``, ``truth.asdf`` and the association, whose path is returned."""
    members = [{"expname": exposure.filename, "exptype": "science"} for exposure in scene.exposures]
    association = {
        "asn_type": "image3",
        "asn_rule": "DMS_Level3_Base",
        "asn_id": "a3001",
        "asn_pool": "none",
        "program": "09999",
        "target": "simulated",
        "products": [{"name": name, "members": members}],
    }
    with staging(directory) as temporary:
        for model in make_models(scene):
            model.save(temporary / model.meta.filename)
        scene.reference_catalog().write(temporary / "refcat.ecsv", format="ascii.ecsv")
        asdf.AsdfFile({"truth": scene.truth}).write_to(temporary / "truth.asdf")
        (temporary / f"{name}_asn.json").write_text(json.dumps(association, indent=4) + "\n", encoding="utf-8")
    return directory / f"{name}_asn.json"
