"""Real exposures, where they are at hand."""

import json

import asdf
import numpy as np
import pytest
from scipy.spatial import KDTree

from helpers import look, run, statuses
from tweakreg import read_result
from tweakreg.find.finders import find_sources
from tweakreg.observatory.missions import image_of
from tweakreg.plane import MAS_PER_ARCSEC, TangentPlane, separation
from tweakreg.records import FindConfig
from tweakreg.wcs.footprint import sky

pytestmark = [pytest.mark.usefixtures("lenient"), pytest.mark.filterwarnings("ignore")]


@pytest.fixture(scope="module")
def tucanae(real_data):
    """Association of three real exposures of 47 Tuc, and the parameters that suit them."""
    folder = real_data / "hrc_47tuc"
    recommended = json.loads((folder / "peer_result.json").read_text())["recommended"]
    return str(folder / "asn.json"), recommended


def pair_offsets(library):
    """Median offsets between exposures, mas, of sources that are each other's nearest: independent of the step."""
    find = FindConfig.of(starfinder="dao", kernel_fwhm=2.6, snr_threshold=20.0, roundlo=-0.6, roundhi=0.6, sharplo=0.2,
                      brightest=None, peakmax=1e5, bkg_boxsize=100)  # fmt: skip

    def positions(model):
        catalog = find_sources(image_of(model).pixels(), find)
        return sky(model.meta.wcs, catalog.x, catalog.y)

    skies = look(library, positions)
    plane = TangentPlane.around(*skies[0])
    fields = [plane.project(*each) for each in skies]
    offsets = []
    for i, j in ((0, 1), (0, 2), (1, 2)):
        distance, index = KDTree(fields[j]).query(fields[i], distance_upper_bound=0.02)
        near = np.isfinite(distance)
        assert near.sum() > 100
        offsets.append(np.median(fields[i][near] - fields[j][index[near]], axis=0) * MAS_PER_ARCSEC)
    return np.linalg.norm(offsets, axis=1)


def rms_of(caplog):
    """Residual rms per image, mas, as the log says."""
    return [
        float(record.message.split(", rms ")[1].split(" mas")[0])
        for record in caplog.records
        if ", rms " in record.message
    ]


def test_47_tucanae_with_the_recommended_parameters(tucanae, caplog):
    caplog.set_level("INFO", logger="tweakreg")
    asn, peer = tucanae
    library = run(asn, **peer["parameters_changed_from_default"])
    assert statuses(library) == ["COMPLETE"] * 3
    peer_rms = [1000.0 * fit["rmse"] for fit in peer["relative_align"] if "rmse" in fit]
    assert np.all(rms_of(caplog) <= np.array(peer_rms))
    assert pair_offsets(library).max() < 1.0


def test_47_tucanae_with_the_defaults_is_never_complete_and_wrong(tucanae):
    library = run(tucanae[0])
    if set(statuses(library)) == {"COMPLETE"}:
        assert pair_offsets(library).max() < 2.0


def test_an_image_that_was_aligned_before(real_data):
    folder = real_data / "jwst_cal_cutout_ngc346"
    from stdatamodels.jwst import datamodels

    with datamodels.open(next(folder.glob("*.fits"))) as model:
        twin = model.copy()
        twin.meta.group_id = "twin"
        find = {"roundhi": 1.0, "sharplo": 0.0, "minobj": 5, "snr_threshold": 5.0}
        library = run([model, twin], **find)
        assert statuses(library) == ["COMPLETE"] * 2
        x, y = np.array([0.0, 99.0]), np.array([0.0, 99.0])
        for after in look(library, lambda each: sky(each.meta.wcs, x, y)):
            assert separation(*after, *sky(model.meta.wcs, x, y)).max() < 1e-6
        frames = look(library, lambda each: each.meta.wcs.available_frames)
        assert frames == [["detector", "v2v3", "v2v3vacorr", "v2v3corr", "world"]] * 2


def test_nebulosity_without_stars_ends_in_an_outcome(real_data):
    paths = sorted((real_data / "jwst_miri_i2d_orion").glob("*.fits.gz"))
    assert set(statuses(run([str(path) for path in paths]))) == {"FAILED"}


def ceers_run(real_data, association, **more):
    """Align an association of the set with the peer's recommended parameters."""
    folder = real_data / "ceers_nircam1"
    parameters = json.loads((folder / "peer_result.json").read_text())["f200w"][association]
    changed = parameters["recommended"]["parameters_changed_from_default"]
    changed["abs_refcat"] = str(folder / changed["abs_refcat"])
    return run(str(folder / association), sip_approx=False, **changed, **more)


def test_ceers_one_detector(real_data):
    library = ceers_run(real_data, "asn_f200w_only_nrca1.json")
    assert statuses(library) == ["COMPLETE"] * 3
    errors = ceers_errors(library, real_data)
    assert np.sqrt(np.mean(errors**2, axis=(1, 2)) * 2).max() < 1.6


def ceers_errors(library, real_data):
    """Differences (images, pixels, 2) from the published WCS, mas to the east and north."""
    x, y = (axis.ravel() for axis in np.meshgrid(np.linspace(0, 2047, 10), np.linspace(0, 2047, 10)))
    plane = TangentPlane(ra=214.98, dec=52.98)
    errors = []
    for name, after in look(library, lambda each: (each.meta.filename, sky(each.meta.wcs, x, y))):
        stem = name.split("_cal")[0]
        with asdf.open(real_data / "ceers_nircam1_truth" / f"{stem}_truth_wcs.asdf") as file:
            errors.append(plane.project(*after) - plane.project(*sky(file["wcs"], x, y)))
    return MAS_PER_ARCSEC * np.array(errors)


def test_ceers_detectors_in_groups_of_their_own(real_data):
    """The published solution moves each detector on its own; here the catalog ties each one."""
    library = ceers_run(real_data, "asn_f200w_detector_groups.json")
    assert statuses(library) == ["COMPLETE"] * 24
    errors = ceers_errors(library, real_data)
    assert np.sqrt(np.mean(errors**2, axis=(1, 2)) * 2).max() < 1.6
    # The peer's bias is 0.9 mas in declination; each of eight independent fits is good to half a mas.
    assert np.abs(errors.mean(axis=(0, 1))).max() < 0.4


def test_ceers_exposures_whose_detectors_are_out_of_their_places(real_data, caplog):
    """As they are they do not fit and say what helps; accepted, the stated error is the true one; helped, they fit."""
    assert set(statuses(ceers_run(real_data, "asn_f200w_exposure_groups.json"))) == {"FAILED"}
    assert "abs_group_by=detector aligns each on its own" in caplog.text
    accepted = ceers_run(real_data, "asn_f200w_exposure_groups.json", max_misfit=5.0)
    assert statuses(accepted) == ["COMPLETE"] * 24
    errors = np.sqrt(np.mean(ceers_errors(accepted, real_data) ** 2, axis=(1, 2)))
    stated = np.array(look(accepted, lambda model: max(read_result(model)["predicted_error"]["centre"])))
    assert (errors < 3.0 * stated).all()
    assert 0.7 < np.sqrt(np.mean(errors**2) / np.mean(stated**2)) < 1.3
    helped = ceers_run(real_data, "asn_f200w_exposure_groups.json", abs_group_by="detector")
    assert statuses(helped) == ["COMPLETE"] * 24
    assert np.median(np.sqrt(np.mean(ceers_errors(helped, real_data) ** 2, axis=(1, 2)) * 2)) < 0.6
