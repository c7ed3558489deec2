"""Catalogs without a common star: is the share that is accepted the probability that is stated?

    python benchmarks/chance_matches.py [--pairs 10000] [--jobs 2] [--pixels 60]

The sizes of the two catalogs are drawn independently, log-uniform from 10 to 5000, on
60 x 60 arcsec; the geometry of the fit and the tolerance are drawn, too.
"""

from __future__ import annotations

import argparse
import warnings
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace

import numpy as np

from tweakreg.alignment.register import register
from tweakreg.find.finders import find_sources
from tweakreg.observatory.missions import image_of
from tweakreg.records import FindConfig, Outcome, Sources, Stage, StageConfig
from tweakreg.simulate import make_scene
from tweakreg.simulate.models import make_model
from tweakreg.simulate.scene import random_config

WIDTH = 60.0
BOX = np.array([[-1, -1], [1, -1], [1, 1], [-1, 1]]) * WIDTH / 2
LEVELS = (0.3, 0.1, 0.03, 0.01, 0.003, 0.001)


def random_pair(seed: int) -> tuple[float, bool]:
    """Stated probability, and whether the defaults accept the match."""
    rng = np.random.default_rng((seed, 5))
    sizes = (10.0 ** rng.uniform(1.0, np.log10(5000.0), size=2)).astype(int)
    image, reference = (Sources(xy=rng.uniform(-WIDTH / 2, WIDTH / 2, size=(n, 2))) for n in sizes)
    tolerance = float(rng.choice([0.1, 0.3, 0.7]))
    config = StageConfig.of(
        Stage.RELATIVE,
        minobj=1,
        tolerance=tolerance,
        separation=1.5 * tolerance,
        fitgeometry=str(rng.choice(["shift", "rshift", "rscale", "general"])),
    )
    result = register(image, reference, config, 0.031, BOX)
    accepted = register(image, reference, replace(config, minobj=15), 0.031, BOX).outcome is Outcome.ALIGNED
    return (1.0 if result.match is None else result.match.false_probability), accepted


def pixel_pair(seed: int) -> bool:
    """Whether the defaults accept a match between exposures of two different fields."""
    warnings.simplefilter("ignore")
    catalogs = []
    for field in (2 * seed, 2 * seed + 1):
        scene = make_scene(replace(random_config(field), n_exposures=1, blank=(), extra_errors=()), n_stars=150.0)
        catalogs.append(find_sources(image_of(make_model(scene, scene.exposures[0])).pixels(), FindConfig.of()))
    sides = [Sources(xy=(np.column_stack([each.x, each.y]) - 256.0) * 0.031) for each in catalogs]
    config = StageConfig.of(Stage.RELATIVE)
    return register(*sides, config, 0.031, BOX * 512 * 0.031 / WIDTH).outcome is Outcome.ALIGNED


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pairs", type=int, default=10000)
    parser.add_argument("--pixels", type=int, default=60)
    parser.add_argument("--jobs", type=int, default=2)
    options = parser.parse_args()
    with ProcessPoolExecutor(options.jobs) as pool:
        rows = list(pool.map(random_pair, range(options.pairs), chunksize=50))
        pixels = list(pool.map(pixel_pair, range(options.pixels)))
    stated = np.array([row[0] for row in rows])
    print("stated below  share observed  ± its error")
    for level in LEVELS:
        share = float(np.mean(stated < level))
        print(f"{level:12.3f}  {share:14.5f}  {np.sqrt(level / len(stated)):.5f}")
    print(f"accepted by the defaults: {sum(row[1] for row in rows)} of {len(rows)}")
    print(f"accepted by the defaults, from pixels: {sum(pixels)} of {len(pixels)}")


if __name__ == "__main__":
    main()
