"""What several test modules need."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np

from tweakreg import TweakRegStep
from tweakreg.alignment.register import register
from tweakreg.plane import TangentPlane
from tweakreg.records import Affine, PlaneImage, Sources, Stage, StageConfig

RELATIVE, ABSOLUTE = map(StageConfig.of, Stage)
PLANE = TangentPlane(ra=10.0, dec=20.0)

#: Source finding that suits the simulated exposures.
FIND = {"roundhi": 0.6}


def run(inputs, **parameters):
    """Run the step without touching the logging of the tests."""
    return TweakRegStep.call(inputs, configure_log=False, **parameters)


STRUN = str(Path(sys.executable).with_name("strun"))


def environment(**changes):
    """The environment without what decides about parameter reference files."""
    names = ("CRDS_", "STPIPE_", "TWEAKREG_PARS")
    return {key: value for key, value in os.environ.items() if not key.startswith(names)} | changes


def strun(*arguments, cwd, timeout=300, **changes):
    """Run the step in a process of its own; further keywords are environment variables."""
    command = [STRUN, *map(str, arguments)]
    return subprocess.run(
        command, cwd=cwd, env=environment(**changes), capture_output=True, text=True, check=False, timeout=timeout
    )


def look(library, what):
    """A value of every model in a library."""
    values = []
    with library:
        for index, model in enumerate(library):
            values.append(what(model))
            library.shelve(model, index, modify=False)
    return values


def wcs_of(library):
    """WCS by the name that the simulation gave."""
    pairs = look(library, lambda model: (model.meta.filename.replace("_tweakreg.fits", "_cal.fits"), model.meta.wcs))
    return dict(pairs)


def statuses(library):
    return look(library, lambda model: model.meta.cal_step.tweakreg)


def write_association(path: Path, members, **extra) -> Path:
    members = [{"expname": m, "exptype": "science"} if isinstance(m, str) else m for m in members]
    path.write_text(json.dumps({"products": [{"name": "test", "members": members}], **extra}))
    return path


def field(n, width=60.0, seed=0, name="field"):
    """Random sources on the plane."""
    return Sources(xy=np.random.default_rng(seed).uniform(-width / 2, width / 2, size=(n, 2)), name=name)


BOX = np.array([[-30.0, -30.0], [30.0, -30.0], [30.0, 30.0], [-30.0, 30.0]])


def turned(angle, shift=(0.0, 0.0)):
    a = np.radians(angle)
    return Affine(matrix=np.array([[np.cos(a), -np.sin(a)], [np.sin(a), np.cos(a)]]), shift=np.array(shift))


def image(name, sources, centre=(0.0, 0.0), group=None, error=None, noise=0.0, width=60.0, seed=0):
    """An image of the sources in a box around the centre, seen with an error of its WCS."""
    corners = BOX * width / 60.0 + np.asarray(centre)
    seen = (np.abs(sources.xy - centre) < width / 2).all(axis=1)
    xy = sources.xy[seen] + np.random.default_rng((seed, len(name))).normal(scale=noise, size=(seen.sum(), 2))
    motion = error or Affine()
    return PlaneImage(
        name=name, group=group or name, footprint=corners, pixel_scale=0.031,
        sources=Sources(xy=motion(xy), name=name),
    )  # fmt: skip


def empty(name, group=None):
    return PlaneImage(
        name=name, group=group or name, footprint=BOX, pixel_scale=0.031, sources=Sources(xy=np.empty((0, 2)))
    )


def outcomes(alignment, stage="relative"):
    return {name: result.outcome for name, result in getattr(alignment, stage).items()}


def matched(sources, reference, config):
    """One catalog registered to another in the box, as an image with the pixels of NIRCam's short channel."""
    return register(sources, reference, config, 0.031, BOX)
