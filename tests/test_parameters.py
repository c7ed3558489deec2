"""The spec and its checks."""

import re

import numpy as np
import pytest

from tweakreg import TweakRegStep, parameters
from tweakreg.errors import ParameterError
from tweakreg.parameters import describe, explain, make_config, parameter_groups
from tweakreg.records import Selection, Stage
from tweakreg.spec import SPEC

# fmt: off
RELEASE = {
    "save_catalogs", "use_custom_catalogs", "catalog_format", "catfile", "starfinder", "snr_threshold",
    "kernel_fwhm", "bkg_boxsize", "minsep_fwhm", "sigma_radius", "sharplo", "sharphi", "roundlo", "roundhi",
    "brightest", "peakmax", "npixels", "connectivity", "nlevels", "contrast", "multithresh_mode", "localbkg_width",
    "apermask_method", "kron_params", "deblend", "enforce_user_order", "expand_refcat", "minobj", "fitgeometry",
    "nclip", "sigma", "searchrad", "use2dhist", "separation", "tolerance", "xoffset", "yoffset", "abs_refcat",
    "save_abs_catalog", "abs_minobj", "abs_fitgeometry", "abs_nclip", "abs_sigma", "abs_searchrad", "abs_use2dhist",
    "abs_separation", "abs_tolerance", "sip_approx", "sip_max_pix_error", "sip_degree", "sip_max_inv_pix_error",
    "sip_inv_degree", "sip_npoints", "output_use_model", "in_memory",
}
# fmt: on


def values(**changes):
    step = TweakRegStep(**changes)
    return step.get_pars()


def test_every_parameter_of_the_release_is_there():
    assert len(RELEASE) == 55
    ours = re.findall(r"^\s*(\w+) =", SPEC, re.MULTILINE)
    assert set(ours) - RELEASE == {
        "clip_accum", "output_ext", "group_by", "abs_group_by", "max_misfit",
        "max_misfit_sigma", "abs_xoffset", "abs_yoffset",
        "max_false_prob", "max_rival", "max_worsening", "maximum_cores",
        "dqbits", "in_place",
        "save_fit_summary", "save_matches", "save_refcat", "save_correction", "save_plots", "save_report",
        "wcsname", "on_failure", "dry_run", "restart",
        "xcol", "ycol", "fluxcol", "xyunits", "pixel_origin", "fluxunits", "minflux", "maxflux", "nbright",
        "abs_fallback", "refimage", "abs_weighted", "abs_error_floor", "refxcol", "refycol", "rfluxcol", "refxyunits",
        "rfluxunits", "rminflux", "rmaxflux", "refnbright", "abs_max_ruwe", "abs_drop_duplicates", "service_timeout",
        "service_retries", "refcat_cache",
    }  # fmt: skip
    assert set(ours) >= RELEASE


def test_every_parameter_has_a_comment():
    for line in SPEC.strip().splitlines():
        if " = " in line:
            assert re.search(r"\) # [A-Z].{15,}", line), line


def test_defaults():
    config = make_config(values())
    assert (config.find.starfinder, config.find.sigma_radius, config.find.brightest) == ("iraf", 1.5, 200)
    assert (config.relative.searchrad, config.relative.minobj) == (2.0, 15)
    assert config.absolute is None
    assert not config.expand_refcat
    assert config.find.kron_params == (2.5, 1.4, 0.0)


def test_absolute_parameters_are_the_same_record(tmp_path):
    (tmp_path / "ref.ecsv").touch()
    config = make_config(values(abs_refcat=str(tmp_path / "ref.ecsv"), abs_minobj=7, clip_accum=True))
    assert config.absolute.stage is Stage.ABSOLUTE
    assert (config.absolute.minobj, config.absolute.searchrad, config.absolute.clip_accum) == (7, 6.0, True)
    assert config.expand_refcat


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"separation": 0.9}, r"'separation' = 0.9: must be greater than sqrt\(2\) × tolerance = 0.990"),
        ({"abs_refcat": "GAIADR3", "abs_separation": 0.1}, r"'abs_separation' = 0.1: .* abs_tolerance"),
        ({"searchrad": 0.0}, "'searchrad' = 0.0: must be greater than 0"),
        ({"sharplo": 3.0}, "'sharplo' = 3.0: must not be greater than sharphi = 2.0"),
        ({"roundlo": 0.5}, "'roundlo'"),
        ({"xoffset": float("nan")}, "'xoffset' = nan: must be finite"),
        ({"kron_params": [-1.0, 1.0]}, "'kron_params'.* must not be negative"),
        ({"output_ext": ".jpg"}, "'output_ext' = '.jpg': must be fits or asdf"),
        ({"suffix": "a/b"}, "'suffix' = 'a/b': must not contain a slash"),
        ({"abs_refcat": "~nobody/ref.ecsv"}, "'abs_refcat'"),
        ({"catalog_format": "csv"}, "'catalog_format' = 'csv': must be ecsv or fits"),
        ({"use_custom_catalogs": True, "catfile": "none.txt"}, "'catfile' = 'none.txt': there is no such file"),
        (
            {"abs_refcat": "none.ecsv"},
            "'abs_refcat' = 'none.ecsv': must be an existing file, the URL or folder of a HATS catalog, or one of",
        ),
    ],
)
def test_values_that_do_not_fit_together(changes, message):
    with pytest.raises(ParameterError, match=message):
        make_config(values(**changes))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"searchrad": -1.0}, "'searchrad'.* a number, at least 0.0"),
        ({"sip_degree": 7}, "'sip_degree'.* an integer, at least 1, at most 6, or None"),
        ({"minobj": "many"}, "'minobj'.* an integer, at least 1"),
        ({"starfinder": "sextractor"}, "'starfinder'.* one of dao, iraf, segmentation"),
        ({"kron_params": [1.0]}, "'kron_params'.* 2 to 3 numbers, or None"),
        ({"brightest": 0}, "'brightest'"),
        ({"searchrad": None}, "'searchrad'.* a number"),
        ({"starfinder": "None"}, "'starfinder'.* one of"),
        ({"in_memory": None}, "'in_memory'.* True or False"),
        ({"serchrad": 1.0}, "'serchrad' does not exist: did you mean 'searchrad'"),
    ],
)
def test_values_that_the_spec_refuses(changes, message):
    with pytest.raises(ParameterError, match=message):
        TweakRegStep(**changes)
    with pytest.raises(ParameterError, match=message):
        TweakRegStep.call("none.json", configure_log=False, **changes)


NUMBERS = [name for name, check in parameters._checks().items() if check.startswith(("integer", "float("))]


@pytest.mark.parametrize("name", NUMBERS)
def test_every_number_has_a_range(name):
    """A value that is absurd is refused by a sentence with the range, wherever it was set; its neighbours are not."""
    check = parameters._checks()[name]
    assert "max=" in check
    for absurd in (1e300, -1e300, np.inf, np.nan, 10**5000, -(10**5000), np.float64(1e300), "9" * 5000, {}):
        with pytest.raises(ParameterError, match=f"'{name}'.*(integer|number).*at most") as caught:
            make_config(values(**{name: absurd}))
        assert len(str(caught.value)) < 600
        step = TweakRegStep()
        with pytest.raises(ParameterError, match=f"'{name}'.*at most"):
            setattr(step, name, absurd)
            make_config(step.get_pars())


def test_values_of_numpy_and_paths_mean_what_they_say(tmp_path):
    (tmp_path / "ref.csv").touch()
    given = {"searchrad": np.float32(3.0), "minobj": np.int64(7), "abs_refcat": tmp_path / "ref.csv"}
    step = TweakRegStep(**given, kron_params=np.array([2.0, 1.0]), in_memory=np.bool_(False))
    config = make_config(step.get_pars())
    assert (config.relative.searchrad, config.relative.minobj) == (3.0, 7)
    assert config.reference.names == (str(tmp_path / "ref.csv"),)
    assert config.find.kron_params == (2.0, 1.0)
    assert step.in_memory is False


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"sigma_radius": 9.0, "kernel_fwhm": 20.0},
            "'sigma_radius' = 9.0: times kernel_fwhm = 20.0 must be at most 100",
        ),
        ({"minsep_fwhm": 20.0, "kernel_fwhm": 20.0, "sigma_radius": 1.0}, "'minsep_fwhm' = 20.0: times kernel_fwhm"),
        ({"refimage": "x" * 5000}, "'refimage'.* there is no such file"),
        ({"abs_refcat": "x" * 5000}, "'abs_refcat'.* must be an existing file"),
        ({"kron_params": [1e6, 1.0]}, "'kron_params'.* must be 100 at most"),
        ({"kron_params": [float("nan"), 1.0]}, "'kron_params'.* must be finite"),
        ({"maximum_cores": "9" * 5000}, "'maximum_cores'.* a number from 1"),
    ],
)
def test_sizes_that_no_memory_holds(changes, message):
    with pytest.raises(ParameterError, match=message):
        make_config(values(**changes))


def test_lenient_where_the_meaning_is_clear():
    step = TweakRegStep(connectivity=8, brightest="None", abs_refcat=None, catfile="None", sip_degree="None")
    config = make_config(step.get_pars())
    assert (config.find.connectivity, config.find.brightest, config.reference, config.catfile) == (8, None, None, "")
    assert config.sip.degree is None


@pytest.mark.parametrize(
    ("check", "words"),
    [
        ("boolean(default=True)", "True or False"),
        ("integer(min=1, max=6, default=None)", "an integer, at least 1, at most 6, or None"),
        ("option('a', 'b', default='a')", "one of a, b"),
        ("string(default='')", "text"),
    ],
)
def test_describe(check, words):
    assert describe(check) == words


def test_messages_of_others_pass_through():
    assert explain("something else") == "something else"


def test_parameter_file_and_its_round_trip(tmp_path):
    step = TweakRegStep(searchrad=3.5, brightest=None, kron_params=[2.0, 1.0])
    step.export_config(tmp_path / "pars.asdf")
    again = TweakRegStep.from_config_file(str(tmp_path / "pars.asdf"))
    assert again.get_pars() == step.get_pars()


def test_the_documented_parameters_are_those_of_the_spec():
    documented = [parameter for _, group in parameter_groups() for parameter in group]
    assert [each.name for each in documented] == re.findall(r"^\s*(\w+) =", SPEC, re.MULTILINE)
    assert all(each.purpose and each.kind for each in documented)


def test_thresholds_of_trust_are_common_to_both_stages():
    config = make_config(values(abs_refcat="GAIADR3", max_false_prob=0.01, max_rival=0.9, max_worsening=5.0))
    for stage in (config.relative, config.absolute):
        assert (stage.max_false_prob, stage.max_rival, stage.max_worsening) == (0.01, 0.9, 5.0)


def test_columns_and_cuts_of_catalogs_reach_the_run(tmp_path):
    """Each parameter of a selection, for the exposures and for the reference, and the weights of the absolute stage."""
    (tmp_path / "ref.csv").write_text("ra,dec\n1,2\n")
    config = make_config(
        values(
            abs_refcat=str(tmp_path / "ref.csv"), abs_fallback="GAIADR2", xcol="a", ycol="b", fluxcol="c",
            fluxunits="mag", minflux=1.0, maxflux=2.0, nbright=3, pixel_origin=1, xyunits="degrees", refxcol="d",
            refycol="e", rfluxcol="f", rfluxunits="flux", rminflux=4.0, rmaxflux=5.0, refnbright=6, refxyunits="hours",
            abs_max_ruwe=1.4, abs_drop_duplicates=True, abs_weighted=False, abs_error_floor=0.7, service_timeout=8.0,
            service_retries=9, refcat_cache="none",
        )
    )  # fmt: skip
    assert config.source_selection == Selection.of_sources(
        x="a", y="b", flux="c", units="degrees", origin=1, magnitudes=True, min_flux=1.0, max_flux=2.0, brightest=3
    )
    assert config.reference.selection == Selection.of_reference(
        x="d", y="e", flux="f", units="hours", origin=1, magnitudes=False, min_flux=4.0, max_flux=5.0, brightest=6,
        max_ruwe=1.4, drop_duplicates=True,
    )  # fmt: skip
    assert config.reference.names == (str(tmp_path / "ref.csv"), "GAIADR2")
    assert (config.reference.patience.timeout, config.reference.patience.retries, config.reference.cache) == (
        8.0,
        9,
        None,
    )
    assert (config.absolute.weighted, config.absolute.error_floor) == (False, 0.7)


@pytest.mark.parametrize(("prefix", "low"), [("", "minflux"), ("r", "rminflux")])
def test_limits_of_flux_in_the_wrong_order(prefix, low):
    with pytest.raises(ParameterError, match=f"'{low}' = 2.0: must not be greater than {prefix}maxflux = 1.0"):
        make_config(values(**{low: 2.0, f"{prefix}maxflux": 1.0}))
