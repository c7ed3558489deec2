"""Side by side with the JWST step. Run with ``tox run -e parity``."""

import warnings

import numpy as np
import pytest

pytest.importorskip("jwst", reason="the peer is installed in the parity environment only")

from jwst.tweakreg import TweakRegStep as Peer

from helpers import look, wcs_of
from tweakreg import TweakRegStep
from tweakreg.plane import separation
from tweakreg.simulate import make_scene, score
from tweakreg.simulate.models import make_models
from tweakreg.wcs.footprint import sky

pytestmark = pytest.mark.filterwarnings("ignore")


@pytest.fixture(autouse=True)
def _peer_without_crds(monkeypatch):
    monkeypatch.setenv("STPIPE_DISABLE_CRDS_STEPPARS", "true")


def both(models, **parameters):
    """Results of the two steps on the same input."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return [step.call(models, configure_log=False, **parameters) for step in (TweakRegStep, Peer)]


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("user_order", [False, True])
def test_relative_on_the_same_catalogs(tmp_path, catalog_models, seed, user_order):
    scene = make_scene(size=2048, n_stars=100, n_visits=2, seed=seed)
    models = catalog_models(scene, tmp_path, noise=0.01)
    ours, theirs = map(wcs_of, both(models, use_custom_catalogs=True, sip_approx=False, enforce_user_order=user_order))
    x, y = np.meshgrid(np.linspace(0, 2047, 10), np.linspace(0, 2047, 10))
    difference = [1000.0 * separation(*sky(ours[name], x, y), *sky(theirs[name], x, y)).max() for name in ours]
    print(f"largest difference {max(difference):.4f} mas")
    assert max(difference) < 0.05


def test_relative_on_well_separated_sources_is_the_same_fit(tmp_path, catalog_models):
    scene = make_scene(size=2048, n_stars=100, n_visits=2)
    models = catalog_models(scene, tmp_path, noise=0.02)
    close = {"separation": 0.1, "tolerance": 0.07}
    ours, theirs = map(wcs_of, both(models, use_custom_catalogs=True, sip_approx=False, **close))
    x, y = np.meshgrid(np.linspace(0, 2047, 10), np.linspace(0, 2047, 10))
    assert max(1000.0 * separation(*sky(ours[n], x, y), *sky(theirs[n], x, y)).max() for n in ours) < 1e-3


def test_absolute_on_ten_fields(tmp_path):
    errors = []
    for seed in range(10):
        scene = make_scene(size=1024, n_stars=300, n_visits=2, seed=100 + seed)
        refcat = tmp_path / f"ref{seed}.ecsv"
        scene.reference_catalog(error=0.5).write(refcat)
        results = both(list(make_models(scene)), abs_refcat=str(refcat), sip_approx=False)
        errors.append([np.median(score(wcs_of(library), scene.truth, 1024).absolute) for library in results])
    ours, theirs = np.median(errors, axis=0)
    print(f"median absolute error: ours {ours:.3f} mas, the peer's {theirs:.3f} mas")
    assert ours <= theirs


def test_the_peer_opens_what_we_write(tmp_path, scene_files):
    from jwst.datamodels import ModelLibrary

    refcat = str(scene_files.parent / "refcat.ecsv")
    TweakRegStep.call(str(scene_files), abs_refcat=refcat, save_results=True, output_dir=str(tmp_path), roundhi=0.6,
                      configure_log=False)  # fmt: skip
    library = ModelLibrary(str(tmp_path / "scene_tweakreg_asn.json"))
    assert look(library, lambda model: model.meta.cal_step.tweakreg) == ["COMPLETE"] * 8
