"""One simulated scene and its exposures, used by most tests."""

from __future__ import annotations

import os
import warnings
from pathlib import Path

import pytest
from hypothesis import settings

from tweakreg.simulate import Scene, make_scene
from tweakreg.simulate.models import make_catalog, make_model, write_scene

# A test asserts no times, also not that of a single example on a machine that is busy.
settings.register_profile("tweakreg", deadline=None)
settings.load_profile("tweakreg")


@pytest.fixture(autouse=True)
def _no_crds(monkeypatch):
    """No test asks a server for parameters."""
    for name in ("CRDS_PATH", "CRDS_SERVER_URL", "STPIPE_DISABLE_CRDS_STEPPARS", "TWEAKREG_PARS"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture(scope="session")
def scene() -> Scene:
    """Four exposures of two detectors in two visits."""
    return make_scene(size=256, n_stars=120, detectors=("NRCA1", "NRCA2"), n_visits=2, seed=3)


@pytest.fixture(scope="session")
def scene_files(scene, tmp_path_factory) -> Path:
    """The association of the scene on disk, beside its reference catalog and truth."""
    return write_scene(scene, tmp_path_factory.mktemp("scene"))


@pytest.fixture
def catalog_models():
    """Models without pixels and their catalogs, for runs with custom catalogs."""

    def make(scene, directory, **options):
        from tweakreg.find.save import write_catalog

        models = []
        for exposure in scene.exposures:
            model = make_model(scene, exposure, pixels=False)
            path = directory / exposure.filename.replace("_cal.fits", "_cat.ecsv")
            write_catalog(make_catalog(scene, exposure, **options), path)
            model.meta.tweakreg_catalog = str(path)
            models.append(model)
        return models

    return make


@pytest.fixture(scope="session")
def real_data() -> Path:
    """The folder with real data."""
    folder = os.environ.get("TWEAKREG_REALDATA")
    if not folder or not Path(folder).is_dir():
        pytest.skip("set TWEAKREG_REALDATA to the folder with real data")
    return Path(folder)


@pytest.fixture
def lenient():
    """Real files were written by older versions of what reads them now, and warn about it."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


@pytest.fixture
def folder(tmp_path, scene_files):
    """A folder with the names of the scene's exposures."""
    for path in scene_files.parent.glob("*_cal.fits"):
        (tmp_path / path.name).symlink_to(path)
    return tmp_path


@pytest.fixture
def names(folder):
    return sorted(path.name for path in folder.glob("*_cal.fits"))
