"""Side by side with the JWST step. Run with ``tox run -e parity``."""

import warnings

import numpy as np
import pytest

pytest.importorskip("jwst", reason="the peer is installed in the parity environment only")

from jwst.tweakreg import TweakRegStep as Peer

from helpers import look, wcs_of
from tweakreg import TweakRegStep, adjust_wcs, transfer_wcs_correction
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


@pytest.fixture
def aligned_files(tmp_path):
    """Our results as files."""
    scene = make_scene(size=256, n_stars=120, n_visits=2, seed=3)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        TweakRegStep.call(list(make_models(scene)), save_results=True, output_dir=str(tmp_path), roundhi=0.6,
                          configure_log=False)  # fmt: skip
    return sorted(tmp_path.glob("*_tweakreg.fits"))


def test_the_peer_opens_our_results_and_its_next_steps_run(aligned_files):
    """The package's own library, WCS utilities, and sky matching and outlier detection, which call the WCS."""
    from jwst.assign_wcs.util import update_s_region_imaging
    from jwst.datamodels import ModelLibrary as PeerLibrary
    from jwst.outlier_detection import OutlierDetectionStep
    from jwst.skymatch import SkyMatchStep

    ours = wcs_of(TweakRegStep.call(aligned_files, dry_run=True, configure_log=False))
    library = PeerLibrary([str(path) for path in aligned_files])
    x, y = np.meshgrid(np.linspace(0, 255, 5), np.linspace(0, 255, 5))

    def corners(model):
        """Which corner comes first, and which way round, is no part of the region."""
        numbers = [float(word) for word in model.meta.wcsinfo.s_region.split()[2:]]
        return np.array(sorted(zip(numbers[::2], numbers[1::2], strict=True)))

    def check(model):
        name = model.meta.filename.replace("_tweakreg.fits", "_cal.fits")
        assert 1000.0 * separation(*sky(ours[name], x, y), *sky(model.meta.wcs, x, y)).max() < 1e-6
        before = corners(model)
        update_s_region_imaging(model)
        assert np.abs(before - corners(model)).max() < 1e-8
        return model.meta.cal_step.tweakreg

    assert set(look(library, check)) == {"COMPLETE"}
    library = SkyMatchStep.call(library)
    library = OutlierDetectionStep.call(library)
    assert set(look(library, lambda model: model.meta.cal_step.outlier_detection)) == {"COMPLETE"}
    assert all(look(library, lambda model: model.meta.tweakreg.instance["status"] == "COMPLETE"))


@pytest.mark.parametrize(
    "change",
    [
        {"delta_ra": 1e-4},
        {"delta_dec": -2e-4, "delta_roll": 0.3},
        {"scale_factor": 1.001},
        {"delta_ra": 1e-4, "delta_dec": 1e-4, "delta_roll": -0.1, "scale_factor": 0.999},
    ],
)
def test_adjust_wcs(change):
    from jwst.tweakreg.utils import adjust_wcs as peer_adjust

    wcs = make_scene(size=256, seed=3).exposures[0].wcs
    x, y = np.meshgrid(np.linspace(0, 255, 5), np.linspace(0, 255, 5))
    assert (
        1000.0 * separation(*sky(adjust_wcs(wcs, **change), x, y), *sky(peer_adjust(wcs, **change), x, y)).max() < 1e-6
    )


@pytest.mark.parametrize("given", [{}, {"matrix": [[1.0, 1e-5], [-1e-5, 1.0]], "shift": [0.1, -0.2]}])
def test_transfer_wcs_correction(aligned_files, given):
    from jwst.tweakreg.utils import transfer_wcs_correction as peer_transfer
    from stdatamodels.jwst import datamodels

    scene = make_scene(size=256, n_stars=120, n_visits=2, seed=3)
    target = next(iter(make_models(scene)))
    twin = target.copy()
    with datamodels.open(aligned_files[1]) as source:
        transfer_wcs_correction(target, source, **given)
        peer_transfer(twin, source, **given)
    x, y = np.meshgrid(np.linspace(0, 255, 5), np.linspace(0, 255, 5))
    assert 1000.0 * separation(*sky(target.meta.wcs, x, y), *sky(twin.meta.wcs, x, y)).max() < 1e-6
