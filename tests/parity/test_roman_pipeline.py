"""The next steps of Roman's pipeline on our results. Run with ``tox run -e roman``."""

import numpy as np
import pytest

pytest.importorskip("romancal", reason="the peer is installed in the roman environment only")

from romancal.datamodels import ModelLibrary as PipelineLibrary
from romancal.resample import ResampleStep
from romancal.skymatch import SkyMatchStep

from helpers import run, write_association
from tweakreg.simulate import make_scene
from tweakreg.simulate.models import make_roman_model

pytestmark = pytest.mark.filterwarnings("ignore")


@pytest.fixture(autouse=True)
def _peer_without_crds(monkeypatch):
    monkeypatch.setenv("STPIPE_DISABLE_CRDS_STEPPARS", "true")


@pytest.fixture
def scene_folder(tmp_path):
    """Two exposures, their association and reference catalog."""
    scene = make_scene(size=256, n_exposures=2, n_stars=150, aberration=True, pixel_scale=0.11, fwhm=1.3, seed=3)
    models = [make_roman_model(scene, exposure) for exposure in scene.exposures]
    for model in models:
        model["var_rnoise"] = model["var_poisson"] = np.full(model.data.shape, 25.0, dtype=np.float16)
        model.save(tmp_path / model.meta.filename)
    scene.reference_catalog().write(tmp_path / "refcat.ecsv")
    write_association(tmp_path / "asn.json", [model.meta.filename for model in models], asn_pool="none", target="none")
    return tmp_path


@pytest.mark.parametrize("on_disk", [False, True])
def test_sky_match_and_resample_take_our_library(scene_folder, monkeypatch, on_disk):
    monkeypatch.chdir(scene_folder)
    given = PipelineLibrary(str(scene_folder / "asn.json"), on_disk=on_disk)
    library = run(given, abs_refcat=str(scene_folder / "refcat.ecsv"))
    assert type(library) is PipelineLibrary
    mosaic = ResampleStep.call(SkyMatchStep.call(library, configure_log=False), configure_log=False)
    assert mosaic.meta.cal_step.resample == "COMPLETE"
    assert np.isfinite(mosaic.data).sum() > 256**2
    stars = np.nanmax(mosaic.data)
    assert stars > 1e3 * np.nanmedian(np.abs(mosaic.data - np.nanmedian(mosaic.data)))
