"""What epochs and errors of the reference catalog are worth, and what a HATS catalog and a mosaic cost."""

from __future__ import annotations

import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
from astropy.table import Table

from tweakreg import TweakRegStep
from tweakreg.find.save import write_catalog
from tweakreg.plane import TangentPlane
from tweakreg.reference.region import cones, near_images
from tweakreg.simulate import Scene, make_scene, score
from tweakreg.simulate.models import make_catalog, make_model


def errors(scene: Scene, table: Table, folder: Path, *, noise: float = 0.03, **parameters: Any) -> np.ndarray:
    """Absolute errors of the exposures, mas, from catalogs with this noise of the positions (pixels)."""
    models = []
    for exposure in scene.exposures:
        model = make_model(scene, exposure, pixels=False)
        path = folder / exposure.filename.replace("_cal.fits", "_cat.ecsv")
        write_catalog(make_catalog(scene, exposure, noise=noise), path)
        model.meta.tweakreg_catalog = str(path)
        models.append(model)
    table.write(folder / "refcat.ecsv", overwrite=True)
    library = TweakRegStep.call(
        models, use_custom_catalogs=True, abs_refcat=str(folder / "refcat.ecsv"), configure_log=False, **parameters
    )
    wcs, complete = {}, True
    with library:
        for exposure, model in zip(scene.exposures, library, strict=True):
            wcs[exposure.filename] = model.meta.wcs
            complete &= model.meta.cal_step.tweakreg == "COMPLETE"
            library.shelve(model, modify=False)
    if not complete:
        raise RuntimeError("an image was not aligned")
    return score(wcs, scene.truth, scene.config.size).absolute


def weights(folder: Path, n_fields: int = 20) -> None:
    """Errors of 0.02 to 2 mas at 2016.0, and as much per year; exposures of 2025."""
    found = []
    for seed in range(n_fields):
        scene = make_scene(size=512, n_exposures=2, n_stars=150, motion=5.0, seed=100 + seed)
        table = scene.gaia()
        found.append([np.median(errors(scene, table, folder, abs_weighted=weighted)) for weighted in (True, False)])
    weighted, unweighted = np.median(found, axis=0)
    print(f"weights, {n_fields} fields: median absolute error {weighted:.3f} mas, unweighted {unweighted:.3f} mas,")
    ratio = np.sqrt(np.mean(np.square(found), axis=0))
    print(f"  ratio {weighted / unweighted:.2f} of the medians, {ratio[0] / ratio[1]:.2f} of the root mean squares")


def epochs(folder: Path) -> None:
    """A catalog nine years older than the exposures, and exposures two years apart."""
    scene = make_scene(size=512, n_exposures=4, n_stars=200, motion=5.0, common_motion=(5.0, -3.0), seed=4)
    old = scene.gaia(epoch=2016.0)
    without = old.copy()
    without.remove_columns(["pmra", "pmdec"])
    exact = {"worst": 0.5}
    for what, table in (
        ("catalog at the epoch", scene.gaia(epoch=2025.0, **exact)),
        ("nine years older, moved", scene.gaia(epoch=2016.0, **exact)),
        ("the same without motions", without),
    ):
        print(f"epochs: {what:26} {np.median(errors(scene, table, folder)):.3f} mas")
    for years in ((0.0, 0.0), (-2.0, 0.0)):
        scene = make_scene(
            size=512, n_exposures=4, n_visits=2, n_stars=200, motion=10.0, common_motion=(200.0, -100.0),
            visit_years=years, seed=4,
        )  # fmt: skip
        found = errors(scene, scene.gaia(still=0.2), folder)
        print(f"exposures {abs(years[0]):.0f} years apart, stars moving by 224 mas a year: {np.median(found):.3f} mas")


def mosaic() -> None:
    """The region of 200 exposures, and which of 200,000 stars are near one."""
    steps = 100.0 * (np.arange(200) % 20), 100.0 * (np.arange(200) // 20)
    plane = TangentPlane(ra=0.0, dec=89.9)
    corners = np.array([[-36.0, -36.0], [36.0, -36.0], [36.0, 36.0], [-36.0, 36.0]])
    images = [plane.deproject(corners + place) for place in np.column_stack(steps)]
    sky = plane.deproject(np.random.default_rng(0).uniform(-3000.0, 3000.0, (200_000, 2)))
    start = time.process_time()
    found = cones(images, 0.002)
    near = near_images(*sky, images, 0.002)
    seconds = time.process_time() - start
    print(f"mosaic of 200 exposures near the pole: {len(found)} cone, {near.sum()} stars near, {seconds:.2f} s of CPU")


def main() -> None:
    """Print all numbers."""
    with tempfile.TemporaryDirectory() as name:
        weights(Path(name))
        epochs(Path(name))
    mosaic()


if __name__ == "__main__":
    main()
