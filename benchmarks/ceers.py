"""Errors on the CEERS set against the published WCS, beside the peer's and the floor.

    TWEAKREG_REALDATA=... python benchmarks/ceers.py [asn_f200w_only_nrca1.json ...]

The floor is what one rigid correction per group of the truth leaves.
"""

from __future__ import annotations

import json
import os
import sys
import warnings
from pathlib import Path

import asdf
import numpy as np

from tweakreg import TweakRegStep
from tweakreg.alignment.fit import fit_affine
from tweakreg.observatory.library import ModelLibrary
from tweakreg.plane import MAS_PER_ARCSEC, TangentPlane
from tweakreg.wcs.footprint import sky

PLANE = TangentPlane(ra=214.98, dec=52.98)
X, Y = (axis.ravel() for axis in np.meshgrid(np.linspace(0, 2047, 10), np.linspace(0, 2047, 10)))


def positions(library: ModelLibrary) -> tuple[list[str], list[str], np.ndarray]:
    """Names, groups and positions on the plane of the pixels of every exposure."""
    names, groups, places = [], [], []
    with library:
        for index, model in enumerate(library):
            names.append(library.member_path(index).name.split("_cal")[0])
            groups.append(str(library.members[index]["group_id"]))
            places.append(PLANE.project(*sky(model.meta.wcs, X, Y)))
            library.shelve(model, index, modify=False)
    return names, groups, np.array(places)


def rms(error: np.ndarray) -> np.ndarray:
    return MAS_PER_ARCSEC * np.sqrt(np.mean(np.sum(error**2, axis=2), axis=1))


def main() -> None:
    warnings.simplefilter("ignore")
    data = Path(os.environ["TWEAKREG_REALDATA"])
    folder = data / "ceers_nircam1"
    peer = json.loads((folder / "peer_result.json").read_text())["f200w"]
    print(f"{'mas':34} ours: median    max  mean east, north   peer: median    max   floor: median    max")
    for association in sys.argv[1:] or sorted(peer):
        result = peer[association]["recommended"]
        parameters = dict(result["parameters_changed_from_default"])
        parameters["abs_refcat"] = str(folder / parameters["abs_refcat"])
        _, _, before = positions(ModelLibrary(folder / association))
        library = TweakRegStep.call(str(folder / association), sip_approx=False, configure_log=False, **parameters)
        names, groups, after = positions(library)
        truth = []
        for name in names:
            with asdf.open(data / "ceers_nircam1_truth" / f"{name}_truth_wcs.asdf") as file:
                truth.append(PLANE.project(*sky(file["wcs"], X, Y)))
        truth = np.array(truth)
        floor = np.empty_like(truth)
        for group in set(groups):
            which = np.array(groups) == group
            flat = before[which].reshape(-1, 2), truth[which].reshape(-1, 2)
            floor[which] = (fit_affine(*flat, None, "rshift")(flat[0]) - flat[1]).reshape(truth[which].shape)
        ours, least = rms(after - truth), rms(floor)
        east, north = MAS_PER_ARCSEC * (after - truth).mean(axis=(0, 1))
        summary = result["summary"]
        print(
            f"{association:34} {np.median(ours):12.2f} {ours.max():6.2f}      {east:+5.2f} {north:+5.2f} "
            f"{summary['error_after_mas_median']:15.2f} {summary['error_after_mas_max']:6.2f} "
            f"{np.median(least):15.2f} {least.max():6.2f}",
            flush=True,
        )


if __name__ == "__main__":
    main()
