"""Are the stated errors of the corrections right? Normalised errors on catalog fields and on fields from pixels.

    python benchmarks/stated_errors.py [--fields 500] [--pixels 20] [--jobs 2]

An error is normalised by what is stated for the same place: its variance should be 1.
"""

from __future__ import annotations

import argparse
import warnings
from concurrent.futures import ProcessPoolExecutor
from functools import partial

import numpy as np

from tweakreg import TweakRegStep
from tweakreg.find.finders import find_sources
from tweakreg.observatory.missions import image_of
from tweakreg.parameters import make_config
from tweakreg.pipeline.align import align_exposures
from tweakreg.pipeline.reference import Reference
from tweakreg.records import Outcome, ReferenceCatalog, Selection
from tweakreg.reference.providers import Request
from tweakreg.reference.table import catalog_of
from tweakreg.simulate import make_scene
from tweakreg.simulate.models import make_catalog, make_model
from tweakreg.wcs.footprint import to_pixels


def normalised_errors(catalog_kind: str, pixels: bool, seed: int) -> np.ndarray:
    """Errors of the corrected WCS over their stated errors, at centre and corners: (images, 5, 2).

    The catalog is 'none', 'even' with equal errors, 'gaia' with very unequal ones nine years before the
    exposures, or 'epochs': the same with exposures three years apart.
    """
    warnings.simplefilter("ignore")
    rng = np.random.default_rng((seed, 5))
    size = 512 if pixels else 1024
    absolute, moving = catalog_kind != "none", catalog_kind in ("gaia", "epochs")
    scene = make_scene(
        size=size, n_stars=float(rng.uniform(40, 300)), n_exposures=int(rng.integers(2, 7)), seed=seed,
        motion=5.0 * moving, n_visits=2 if catalog_kind == "epochs" else 1,
        visit_years=(-3.0, 0.0) if catalog_kind == "epochs" else (),
    )  # fmt: skip
    config = make_config(TweakRegStep(abs_refcat="GAIADR3" if absolute else "", roundhi=0.6).get_pars())
    noise = float(rng.uniform(0.005, 0.05))
    exposures = []
    for exposure in scene.exposures:
        model = make_model(scene, exposure, pixels=pixels)
        image = image_of(model, exposure.filename)
        found = find_sources(image.pixels(), config.find) if pixels else make_catalog(scene, exposure, noise=noise)
        exposures.append(image.measured(found, str(exposure.number)))
    reference = None
    if absolute:
        table = scene.reference_catalog()
        reference = ReferenceCatalog(ra=np.array(table["RA"]), dec=np.array(table["DEC"]), weight=None, name="catalog")
        if moving:
            reference = catalog_of(scene.gaia(), "gaia", Selection.of_reference(), name="gaia", provenance="")
    known = None if reference is None else Reference(Request(given=reference), config.find)
    alignment = align_exposures(exposures, known, config)
    far = size - 1.0
    x, y = np.array([[far / 2, far / 2], [0.0, 0.0], [far, 0.0], [far, far], [0.0, far]]).T
    first = next((e for e in scene.exposures if alignment.relative[str(e.number)].outcome is Outcome.REFERENCE), None)
    results = []
    for exposure in scene.exposures:
        name = str(exposure.number)
        stage = alignment.absolute[name] if absolute else alignment.relative[name]
        if stage.outcome is not Outcome.ALIGNED:
            continue
        sky = exposure.truth(x, y, with_bounding_box=False)
        expected = alignment.plane.project(*sky)
        if not absolute:
            # Where the reference exposure's WCS, which is wrong, puts the same stars.
            expected = alignment.plane.project(*first.wcs(*to_pixels(first.truth, *sky), with_bounding_box=False))
        before = alignment.plane.project(*exposure.wcs(x, y, with_bounding_box=False))
        covariance = alignment.covariance_at(name, before)
        error = alignment.corrections[name](before) - expected
        results.append(error / np.sqrt(np.diagonal(covariance, axis1=1, axis2=2)))
    return np.array(results).reshape(-1, 5, 2)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--fields", type=int, default=500)
    parser.add_argument("--pixels", type=int, default=20)
    parser.add_argument("--jobs", type=int, default=2)
    options = parser.parse_args()
    with ProcessPoolExecutor(options.jobs) as pool:
        for pixels, number in ((False, options.fields), (True, options.pixels)):
            for catalog in ("none", "even") if pixels else ("none", "even", "gaia", "epochs"):
                work = partial(normalised_errors, catalog, pixels)
                z = np.concatenate(list(pool.map(work, range(number), chunksize=5)))
                kind = f"{number} fields from {'pixels' if pixels else 'catalogs'}, catalog: {catalog}"
                beyond = (np.abs(z) > 5.0).any(axis=(1, 2)).mean()
                print(
                    f"{kind:45} {len(z):5d} images: variance at the centre {np.mean(z[:, 0] ** 2):.2f}, "
                    f"at the corners {np.mean(z[:, 1:] ** 2):.2f}; beyond 5 sigma {beyond:.2%}",
                    flush=True,
                )


if __name__ == "__main__":
    main()
