"""The JWST step's own tests, with this step in place of theirs.

Left out: that the reference has no SIP approximation, what tests a part of their code rather than the step
(rename_catalog_columns, write_catalog, make_tweakreg_catalog, bad_starfinder, multichip, utils), what needs a service
(src_confusion_pars with ``abs_``; without, this step refuses the parameters before it starts), and the words of a log
line (ngroup_1). What they are about stands in tests of this package: test_find, test_catalogs, test_wcs,
test_parameters, test_stages.
"""

import numpy as np
import pytest
from astropy.wcs import WCS

pytest.importorskip("jwst", reason="the peer is installed in the parity environment only")

from jwst.datamodels import ModelContainer
from jwst.datamodels import ModelLibrary as PeerLibrary
from jwst.tweakreg.tests import test_tweakreg as theirs
from jwst.tweakreg.tests.test_tweakreg import example_input, example_wcs  # noqa: F401 (fixtures)

from helpers import statuses
from tweakreg import TweakRegStep

pytestmark = pytest.mark.filterwarnings("ignore")


@pytest.fixture(autouse=True)
def _this_step(monkeypatch):
    monkeypatch.setenv("STPIPE_DISABLE_CRDS_STEPPARS", "true")
    monkeypatch.setattr(theirs.tweakreg_step, "TweakRegStep", TweakRegStep)


@pytest.mark.parametrize("with_shift", [True, False])
def test_step(example_input, with_shift):  # noqa: F811
    theirs.test_tweakreg_step(example_input, with_shift)


@pytest.mark.parametrize("with_shift", [True, False])
def test_sip_agrees_with_the_gwcs(example_input, with_shift):  # noqa: F811
    """As test_sip_approx; but the reference has an approximation as well here, which is right and not missing."""
    if with_shift:
        example_input[1].data[:-9] = example_input[1].data[9:]
        example_input[1].data[-9:] = theirs.BKG_LEVEL
    for model, name in zip(example_input, "ab", strict=True):
        model.meta.group_id = name
    result = TweakRegStep.call(example_input, configure_log=False, sip_degree=3, sip_inv_degree=3)
    with result:
        for index, model in enumerate(result):
            grid = np.meshgrid(np.linspace(0.0, 511.0, 20), np.linspace(0.0, 511.0, 20))
            ra, dec = model.meta.wcs(*grid)
            found = WCS(model.meta.wcsinfo.instance).pixel_to_world(*grid)
            assert model.meta.wcsinfo.instance["ap_order"] == 3
            np.testing.assert_allclose(found.ra.deg, ra, atol=1e-7)
            np.testing.assert_allclose(found.dec.deg, dec, atol=1e-7)
            result.shelve(model, index, modify=False)


def test_one_group_is_not_complete(example_input):  # noqa: F811
    for model in example_input:
        model.meta.group_id = "a"
    assert statuses(TweakRegStep.call(example_input, configure_log=False)) == ["FAILED"] * 2


@pytest.mark.parametrize("kind", [list, ModelContainer, PeerLibrary])
def test_containers_of_theirs(example_input, kind):  # noqa: F811
    for model, name in zip(example_input, "ab", strict=True):
        model.meta.group_id = name
    assert statuses(TweakRegStep.call(kind(list(example_input)), configure_log=False)) == ["COMPLETE"] * 2
