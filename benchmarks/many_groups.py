"""CPU seconds to align many groups of catalogs, with a fixed and with a growing reference catalog.

python benchmarks/many_groups.py [--groups 160] [--stars 200]
"""

from __future__ import annotations

import argparse
import time

import numpy as np

from tweakreg.alignment.solver import Order
from tweakreg.alignment.stages import align_on_plane
from tweakreg.plane import TangentPlane
from tweakreg.records import Affine, PlaneCatalog, PlaneImage, Sources, Stage, StageConfig, Status

WIDTH = 64.0


def make_images(n_groups: int, n_stars: int, seed: int = 0) -> tuple[list[PlaneImage], Sources]:
    """Images on a mosaic whose steps are a third of an image, with errors of their pointing."""
    rng = np.random.default_rng(seed)
    columns = int(np.ceil(np.sqrt(n_groups)))
    centres = np.array([divmod(number, columns) for number in range(n_groups)]) * WIDTH / 3.0
    extent = centres.max() + WIDTH
    sky = rng.uniform(-WIDTH / 2, extent, size=(int(n_stars * ((extent + WIDTH / 2) / WIDTH) ** 2), 2))
    box = np.array([[-1, -1], [1, -1], [1, 1], [-1, 1]]) * WIDTH / 2
    images = []
    for number, centre in enumerate(centres):
        seen = sky[(np.abs(sky - centre) < WIDTH / 2).all(axis=1)]
        error = Affine(shift=rng.normal(scale=0.3, size=2))
        noise = rng.normal(scale=0.002, size=seen.shape)
        name = f"{number:04d}"
        sources = Sources(xy=error(seen + noise), name=name)
        images.append(PlaneImage(name=name, group=name, footprint=box + centre, pixel_scale=0.031, sources=sources))
    return images, Sources(xy=sky[::2], name="reference")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--groups", type=int, default=160)
    parser.add_argument("--stars", type=int, default=200)
    options = parser.parse_args()
    images, reference = make_images(options.groups, options.stars)
    plane = TangentPlane(ra=10.0, dec=20.0)
    relative = StageConfig.of(Stage.RELATIVE)
    absolute = StageConfig.of(Stage.ABSOLUTE)
    for name, expand, target in (("fixed", False, None), ("growing", True, None), ("absolute", True, reference)):
        start = time.process_time()
        catalog = PlaneCatalog(sources=target)
        alignment = align_on_plane(
            images, plane, relative, absolute if target else None, catalog, order=Order(expand_refcat=expand)
        )
        seconds = time.process_time() - start
        n_complete = sum(alignment.status(image.group) is Status.COMPLETE for image in images)
        print(f"{name:9} {seconds:6.2f} s CPU, {n_complete} of {len(images)} groups COMPLETE", flush=True)


if __name__ == "__main__":
    main()
