"""Fields that defeat today's tools: how many are solved, and is any exposure COMPLETE and wrong?

    python benchmarks/hard_cases.py [--seeds 20] [--size 1024] [--jobs 2] [case ...]

An exposure is wrong if its WCS is off by more than 5 mas, or by more than before.
Relative errors are those after one shift and rotation common to the COMPLETE exposures.
"""

from __future__ import annotations

import argparse
import warnings
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from functools import partial

import numpy as np

from tweakreg import ModelLibrary, TweakRegStep
from tweakreg.parameters import Config, make_config
from tweakreg.pipeline.align import align_exposures
from tweakreg.pipeline.apply import results_of
from tweakreg.pipeline.measure import measure
from tweakreg.pipeline.reference import Reference
from tweakreg.records import ReferenceCatalog, Stage, StageConfig, Status, status
from tweakreg.reference.providers import Request
from tweakreg.simulate import SceneConfig, make_scene, score
from tweakreg.simulate.models import make_models
from tweakreg.simulate.scene import random_config
from tweakreg.wcs.corrector import TelescopeAngles, correct
from tweakreg.wcs.footprint import pixel_bounds

LIMIT_MAS = 5.0

CASES = {
    "plain": {},
    "5 arcsec offset": {"extra_errors": ((1, 4.0, 3.0, 0.0),)},
    "0.1 degree roll": {"extra_errors": ((1, 0.0, 0.0, 0.1),)},
    "blank": {"blank": (1,)},
    "isolated": {"pattern": "isolated"},
    "chain": {"pattern": "chain"},
    "strip": {"pattern": "strip", "n_exposures": 6},
    "12 stars": {"n_stars": 12.0},
    "sparse": {"n_stars": 30.0, "faintest": 8e2, "galaxies": 10.0, "cosmic_rays": 50.0},
    "crowded": {"n_stars": 1250.0},
    "cosmic rays": {"cosmic_rays": 300.0},
    "hot pixels": {"hot_pixels": 100, "n_stars": 80.0},
    "saturated": {"brightest": 5e6, "slope": 0.3, "wings": 0.15},
}


@dataclass(frozen=True)
class Tally:
    """What became of the exposures of one scene in one mode."""

    complete: int
    wrong: int
    total: int
    median: float


def scene_of(case: str, seed: int, size: int):
    if case == "random":
        return make_scene(random_config(seed), size=size)
    base = SceneConfig(n_stars=150.0, n_visits=2, size=size, seed=1000 + seed)
    return make_scene(base, **CASES[case])


def judge(case: str, size: int, seed: int) -> dict[str, Tally]:
    warnings.simplefilter("ignore")
    scene = scene_of(case, seed, size)
    parameters = TweakRegStep().get_pars()
    config = make_config(parameters)
    exposures = measure(ModelLibrary(list(make_models(scene))), config).exposures
    table = scene.reference_catalog(error=0.5, share=0.4)
    stars = ReferenceCatalog(ra=np.array(table["RA"]), dec=np.array(table["DEC"]))
    reference = Reference(Request(given=stars), config.find)
    absolute = replace(config, expand_refcat=True, absolute=StageConfig.of(Stage.ABSOLUTE))
    return {
        "relative": tally(scene, exposures, None, config),
        "absolute": tally(scene, exposures, reference, absolute),
    }


def tally(scene, exposures, reference: Reference | None, config: Config) -> Tally:
    alignment = align_exposures(exposures, reference, config)
    before = {each.filename: each.wcs for each in scene.exposures}
    after = {}
    for simulated, exposure in zip(scene.exposures, exposures, strict=True):
        outcomes = [result.outcome for result in results_of(exposure, alignment, absolute=config.absolute is not None)]
        if status(*outcomes) is not Status.COMPLETE:
            continue
        detector = simulated.detector
        local = simulated.pointing.at(detector.v2_ref, detector.v3_ref)
        angles = TelescopeAngles(v2_ref=detector.v2_ref, v3_ref=detector.v3_ref, roll_ref=local.roll)
        bounds = pixel_bounds(simulated.wcs, (scene.config.size, scene.config.size))
        correction = alignment.corrections[exposure.group]
        after[simulated.filename] = correct(simulated.wcs, angles, correction, alignment.plane, bounds)
    if not after:
        return Tally(0, 0, len(exposures), np.nan)
    kind = "relative" if reference is None else "absolute"
    error = getattr(score(after, scene.truth, scene.config.size), kind)
    old = getattr(score({name: before[name] for name in after}, scene.truth, scene.config.size), kind)
    wrong = (error > LIMIT_MAS) | (error > old)
    return Tally(len(after), int(wrong.sum()), len(exposures), float(np.median(error)))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("case", nargs="*", help=f"of {', '.join([*CASES, 'random'])}; all but random by default")
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--size", type=int, default=1024)
    parser.add_argument("--jobs", type=int, default=2)
    options = parser.parse_args()
    print(f"{'case':16} {'mode':9} complete  wrong  of   median error, mas")
    with ProcessPoolExecutor(options.jobs) as pool:
        for case in options.case or CASES:
            results = list(pool.map(partial(judge, case, options.size), range(options.seeds)))
            for mode in ("relative", "absolute"):
                rows = [result[mode] for result in results]
                complete, wrong, total = (
                    sum(getattr(row, name) for row in rows) for name in ("complete", "wrong", "total")
                )
                medians = [row.median for row in rows if np.isfinite(row.median)]
                median = np.median(medians) if medians else np.nan
                print(f"{case:16} {mode:9} {complete:8d} {wrong:6d} {total:4d}  {median:8.3f}", flush=True)


if __name__ == "__main__":
    main()
