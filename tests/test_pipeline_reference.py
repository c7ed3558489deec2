"""Reference catalogs in a run: motions, weights, images, columns."""

from __future__ import annotations

import numpy as np
import pytest
from astropy.table import Table

from catalogs import absolute_errors
from helpers import run, statuses, wcs_of
from tweakreg.errors import ParameterError
from tweakreg.simulate import make_scene, score


def test_proper_motions_of_a_file_are_used(catalog_models, tmp_path):
    scene = make_scene(size=512, n_exposures=4, n_stars=200, motion=5.0, common_motion=(5.0, -3.0), seed=4)
    at_once = absolute_errors(scene, scene.gaia(epoch=2025.0), tmp_path, catalog_models)
    later = absolute_errors(scene, scene.gaia(epoch=2016.0), tmp_path, catalog_models)
    table = scene.gaia(epoch=2016.0)
    table.remove_columns(["pmra", "pmdec"])
    ignored = absolute_errors(scene, table, tmp_path, catalog_models)
    assert ignored.min() > 40.0
    assert np.median(later) < 0.5
    assert np.median(at_once) < 0.5


def test_two_epochs_with_common_fast_stars(catalog_models, tmp_path):
    errors = []
    for years in ((0.0, 0.0), (-2.0, 0.0)):
        scene = make_scene(
            size=512,
            n_exposures=4,
            n_visits=2,
            n_stars=200,
            motion=10.0,
            common_motion=(200.0, -100.0),
            visit_years=years,
            seed=4,
        )
        errors.append(absolute_errors(scene, scene.gaia(still=0.2), tmp_path, catalog_models))
    assert np.median(errors[1]) < 1.5 * np.median(errors[0]) + 0.1
    assert np.max(errors[1]) < 1.5


def test_weights_make_the_result_better(catalog_models, tmp_path):
    medians = []
    for seed in range(6):
        scene = make_scene(size=512, n_exposures=2, n_stars=150, motion=5.0, seed=100 + seed)
        medians.append(
            [
                np.median(absolute_errors(scene, scene.gaia(), tmp_path, catalog_models, abs_weighted=weighted))
                for weighted in (True, False)
            ]
        )
    weighted, unweighted = np.median(medians, axis=0)
    assert weighted < 0.7 * unweighted


def test_an_image_can_be_the_reference(scene, scene_files, tmp_path):
    """Aligned to an image whose WCS is the true one, which is not changed."""
    from tweakreg.simulate.models import make_model

    model = make_model(scene, scene.exposures[0])
    model.meta.wcs = scene.exposures[0].truth
    path = tmp_path / "reference_cal.fits"
    model.save(path)
    before = path.read_bytes()
    library = run(str(scene_files), refimage=str(path), roundhi=0.6, output_dir=str(tmp_path))
    assert set(statuses(library)) == {"COMPLETE"}
    assert np.median(score(wcs_of(library), scene.truth, scene.config.size).absolute) < 2.0
    assert path.read_bytes() == before


def test_a_catalog_in_pixels_of_the_reference_image(scene, scene_files, tmp_path):
    from tweakreg.simulate.models import make_catalog, make_model

    model = make_model(scene, scene.exposures[0], pixels=False)
    model.meta.wcs = scene.exposures[0].truth
    model.save(tmp_path / "reference_cal.fits")
    found = make_catalog(scene, scene.exposures[0])
    Table({"col1": found.x, "col2": found.y}).write(tmp_path / "pixels.csv")
    pixels = {"refimage": str(tmp_path / "reference_cal.fits"), "abs_refcat": str(tmp_path / "pixels.csv")}
    library = run(str(scene_files), refxyunits="pixels", refxcol="1", refycol="2", roundhi=0.6, **pixels)
    assert set(statuses(library)) == {"COMPLETE"}
    with pytest.raises(ParameterError, match="refimage"):
        run(str(scene_files), **pixels)


@pytest.mark.parametrize("units", ["pixels", "degrees"])
def test_selectors_of_the_exposures_catalogs(scene, tmp_path, catalog_models, units):
    """Columns by name and number, first pixel 1, magnitudes, cuts, and the brightest of each group."""
    from tweakreg.simulate.models import make_catalog
    from tweakreg.wcs.footprint import sky

    models = catalog_models(scene, tmp_path)
    for model, exposure in zip(models, scene.exposures, strict=True):
        found = make_catalog(scene, exposure)
        places = (found.x + 1.0, found.y + 1.0) if units == "pixels" else sky(exposure.wcs, found.x, found.y)
        table = Table([*places, -2.5 * np.log10(found.flux)], names=["here", "there", "brightness"])
        table.write(model.meta.tweakreg_catalog, overwrite=True)
    parameters = {
        "use_custom_catalogs": True, "xcol": "here", "ycol": "2", "fluxcol": "brightness", "fluxunits": "mag",
        "xyunits": units, "pixel_origin": 1,
    }  # fmt: skip
    library = run(models, save_fit_summary=True, save_matches=True, output_dir=str(tmp_path), nbright=60, **parameters)
    assert set(statuses(library)) == {"COMPLETE"}
    for path in tmp_path.glob("*_matches.ecsv"):
        table = Table.read(path)
        assert len(table) <= 60
    relative = score(wcs_of(library), scene.truth, scene.config.size).relative
    assert np.median(relative) < 1.0
