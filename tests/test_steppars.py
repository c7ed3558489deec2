"""Parameter reference files: which one is chosen, and that nothing hangs or ends the run on the way."""

from __future__ import annotations

import http.server
import itertools
import json
import os
import socket
import subprocess
import sys
import threading
from contextlib import contextmanager
from pathlib import Path

import asdf
import numpy as np
import pytest
from astropy.io import fits
from stpipe.config_parser import load_config_file
from tweakreg.pars import generate

from helpers import environment, run, strun
from tweakreg import TweakRegStep, steppars
from tweakreg.errors import ParameterFileError
from tweakreg.observatory import hst
from tweakreg.parameters import find_for, make_config
from tweakreg.spec import DEFAULTS

TABLE = generate.read_table()
FOLDER = Path(generate.__file__).parent
FIELDS = {"exp_type": "meta.exposure.type", "filter": "meta.instrument.filter", "pupil": "meta.instrument.pupil"}


def header(instrument="NIRCAM", exp_type="NRC_IMAGE", optical=("F200W", "CLEAR")):
    values = {"meta.instrument.name": instrument, "meta.exposure.type": exp_type}
    values |= {"meta.observation.date": "2025-01-01", "meta.observation.time": "00:00:00.000"}
    values |= dict(zip(("meta.instrument.filter", "meta.instrument.pupil"), optical, strict=False))
    return values


# --- the table, the files and the rules ---------------------------------------------------------------------


@pytest.mark.parametrize("row", list(TABLE), ids=generate.filename)
def test_each_file_says_what_its_row_says(row):
    assert (FOLDER / generate.filename(row)).read_text() == generate.text(row)
    with asdf.open(FOLDER / generate.filename(row)) as file:
        tree = {key: value for key, value in file.tree.items() if key not in ("asdf_library", "history")}
    assert tree == generate.tree(row)
    assert "abs_refcat" not in tree["parameters"]
    assert len(tree["meta"]["description"]) > 20
    config = load_config_file(str(FOLDER / generate.filename(row)))
    values = TweakRegStep.from_config_section(config).get_pars()
    assert make_config(values).relative.separation > 0.0
    assert values["kernel_fwhm"] == tree["parameters"].get("kernel_fwhm", 2.5)


def test_rmaps_and_files_are_those_of_the_table():
    for instrument in generate.KEYS:
        path = FOLDER / generate.rmap_name(instrument)
        assert path.read_text() == generate.rmap(instrument, TABLE)
    assert {path.name for path in FOLDER.glob("*.asdf")} == {generate.filename(row) for row in TABLE}


def wheels(name):
    """Every value that the datamodels' schema allows for an element of the optical path."""
    from stdatamodels.jwst.datamodels import ImageModel

    return ImageModel().schema["properties"]["meta"]["properties"]["instrument"]["properties"][name]["enum"]


@pytest.mark.parametrize(
    ("instrument", "exp_type"),
    [
        ("nircam", "NRC_IMAGE"),
        ("niriss", "NIS_IMAGE"),
        ("miri", "MIR_IMAGE"),
        ("fgs", "FGS_IMAGE"),
        ("wfi", "WFI_IMAGE"),
    ],
)
def test_selection_for_every_filter_and_pupil(monkeypatch, instrument, exp_type):
    """No network, no CRDS: the rule for each combination is the table's, and others have no file."""

    def no_network(*_):
        raise AssertionError("a socket was opened")

    monkeypatch.setattr(socket.socket, "connect", no_network)
    monkeypatch.setattr(os, "environ", {})
    rows = {
        tuple(str(row[column]) for column in generate.KEYS[instrument].values()): generate.filename(row)
        for row in TABLE[TABLE["instrument"] == instrument]
    }
    chosen = set()
    for optical in itertools.product(wheels("filter"), wheels("pupil")):
        data = header(instrument.upper(), exp_type, optical)
        path = steppars.parameter_file(data)
        key = tuple(data[FIELDS[column]] for column in generate.KEYS[instrument].values())
        assert (path.name if path else None) == rows.get(key)
        chosen.add(path.name if path else None)
    assert chosen - {None} == set(rows.values())


HST = [row for row in TABLE if generate.telescope(row["instrument"]) == "HST"]


@pytest.mark.parametrize("row", HST, ids=generate.filename)
def test_selection_for_hst_detectors(tmp_path, row):
    """By the headers that the detectors' exposures have: WFPC2's say no detector, NICMOS's the camera."""
    primary = fits.PrimaryHDU()
    primary.header["TELESCOP"], primary.header["INSTRUME"] = "HST", row["instrument"].upper()
    if row["instrument"] == "nicmos":
        primary.header["CAMERA"] = int(row["detector"][-1])
    elif row["detector"] != "N/A":
        primary.header["DETECTOR"] = str(row["detector"])
    primary.writeto(tmp_path / "jsim01q_flt.fits")
    found = steppars.select(hst.selection(tmp_path / "jsim01q_flt.fits"), FOLDER)
    assert found is not None
    assert found.name == generate.filename(row)


def test_other_modes_and_instruments_have_no_file():
    assert steppars.select({"meta.instrument.name": "ACS", "meta.instrument.detector": "OTHER"}, FOLDER) is None
    assert steppars.select({"meta.instrument.name": "COS", "meta.instrument.detector": "NUV"}, FOLDER) is None
    assert steppars.select(header(exp_type="NRC_TSIMAGE"), FOLDER) is None
    assert steppars.select(header("NIRSPEC", "NRS_IMAGE"), FOLDER) is None
    assert steppars.select({}, FOLDER) is None


def test_parameters_of_an_image_are_those_of_its_own_observatory(monkeypatch):
    asked = []
    monkeypatch.setattr(steppars, "parameter_file", lambda header: asked.append(steppars.observatory_of(header)))
    for telescope in ("HST", "ROMAN"):
        selection = {"meta.telescope": telescope, "meta.instrument.name": "TEST"}
        find_for(make_config(DEFAULTS), {"sigma": (3.0, "default")}, selection)
    assert asked == ["hst", "roman"]


# --- who decides --------------------------------------------------------------------------------------------


def user_folder(path, **parameters):
    """A folder with one rmap and one file for simulated exposures."""
    path.mkdir(exist_ok=True)
    table = TABLE[(TABLE["instrument"] == "nircam") & (TABLE["name"] == "f200w")]
    tree = generate.tree(table[0]) | {"parameters": parameters}
    asdf.AsdfFile(tree).write_to(path / generate.filename(table[0]))
    (path / "jwst_nircam_pars-tweakregstep.rmap").write_text(generate.rmap("nircam", table))
    return path


@pytest.fixture
def exposure_file(scene_files):
    """One exposure: a run over it is short."""
    return next(scene_files.parent.glob("*nrca1_cal.fits"))


def pars_of(inputs, **parameters):
    config, file = TweakRegStep.build_config(inputs, **parameters)
    return TweakRegStep.from_config_section(config, config_file=file).get_pars()


def test_precedence(scene_files, exposure_file, tmp_path, monkeypatch):
    """Spec < reference file < parameter file < command line; each decides one parameter more."""
    folder = user_folder(tmp_path / "pars", kernel_fwhm=3.0, sigma=4.0, nclip=5)
    TweakRegStep(sigma=4.5, nclip=6, searchrad=1.5).export_config(tmp_path / "mine.asdf")
    with asdf.open(tmp_path / "mine.asdf") as file:
        tree = dict(file.tree) | {"parameters": {"sigma": 4.5, "nclip": 6, "searchrad": 1.5}}
    asdf.AsdfFile(tree).write_to(tmp_path / "mine.asdf")
    monkeypatch.setenv("TWEAKREG_PARS", str(folder))
    names = ("tolerance", "kernel_fwhm", "sigma", "nclip")
    called = pars_of(str(scene_files), config_file=str(tmp_path / "mine.asdf"), nclip=7)
    done = strun(
        "mine.asdf",
        scene_files,
        "--nclip=7",
        "--save-parameters=saved.asdf",
        cwd=tmp_path,
        TWEAKREG_PARS=str(folder),
    )
    assert done.returncode == 0, done.stderr
    saved = TweakRegStep.from_config_file(str(tmp_path / "saved.asdf")).get_pars()
    for values in (called, saved):
        assert [values[name] for name in names] == [0.7, 3.0, 4.5, 7]
        assert values["searchrad"] == 1.5


def test_saved_parameters_make_the_same_run(exposure_file, tmp_path):
    first = strun("tweakreg", exposure_file, "--save-parameters=1.asdf", "--roundhi=0.4", cwd=tmp_path)
    second = strun("1.asdf", exposure_file, "--save-parameters=2.asdf", cwd=tmp_path)
    assert (first.returncode, second.returncode) == (0, 0), first.stderr + second.stderr
    one, two = (TweakRegStep.from_config_file(str(tmp_path / name)).get_pars() for name in ("1.asdf", "2.asdf"))
    assert one == two
    assert (one["roundhi"], one["kernel_fwhm"]) == (0.4, 2.141)


def test_unknown_parameters_of_a_reference_file_are_left_out(scene_files, tmp_path, monkeypatch, caplog):
    folder = user_folder(tmp_path, sigma=4.0, align_to_gaia=True)
    monkeypatch.setenv("TWEAKREG_PARS", str(folder))
    values = pars_of(str(scene_files))
    assert values["sigma"] == 4.0
    assert "align_to_gaia" not in values
    assert "parameter 'align_to_gaia' does not exist here and is left out" in caplog.text


@pytest.mark.parametrize(
    ("environment", "fwhm"),
    [
        ({}, 2.141),
        ({"TWEAKREG_PARS": "packaged"}, 2.141),
        ({"TWEAKREG_PARS": "none"}, 2.5),
        ({"TWEAKREG_PARS": "crds"}, 2.5),
        ({"STPIPE_DISABLE_CRDS_STEPPARS": "true"}, 2.5),
    ],
)
def test_the_environment_chooses(scene_files, tmp_path, monkeypatch, environment, fwhm):
    monkeypatch.setenv("CRDS_PATH", str(tmp_path / "empty"))
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert pars_of(str(scene_files))["kernel_fwhm"] == fwhm


def test_the_command_line_switches_reference_files_off(exposure_file, tmp_path):
    done = strun("--disable-crds-steppars", "tweakreg", exposure_file, "--save-parameters=p.asdf", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert TweakRegStep.from_config_file(str(tmp_path / "p.asdf")).get_pars()["kernel_fwhm"] == 2.5


def test_a_place_that_does_not_exist(scene_files, tmp_path, monkeypatch):
    monkeypatch.setenv("TWEAKREG_PARS", str(tmp_path / "nowhere"))
    with pytest.raises(ParameterFileError, match=r"TWEAKREG_PARS = .*nowhere.*must be auto, crds, packaged, none"):
        run(scene_files)


def test_a_broken_reference_file(scene_files, tmp_path, monkeypatch):
    folder = user_folder(tmp_path)
    next(folder.glob("*.asdf")).write_text("#ASDF 1.0.0\n---\nclass: [1,\n")
    monkeypatch.setenv("TWEAKREG_PARS", str(folder))
    with pytest.raises(ParameterFileError, match=r"f200w\.asdf: cannot be read as a parameter reference file"):
        run(scene_files)


def test_what_a_reference_file_may_not_hold(scene_files, tmp_path, monkeypatch, caplog):
    monkeypatch.setenv("TWEAKREG_PARS", str(user_folder(tmp_path, snr_threshold={"a": 1})))
    with pytest.raises(ParameterFileError, match="'snr_threshold' must be a value"):
        run(scene_files)
    assert "must be a value" in caplog.text
    user_folder(tmp_path, pre_hooks=["touch touched"])
    assert pars_of(str(scene_files))["pre_hooks"] == []


def test_input_dir_and_home_count(scene_files, monkeypatch):
    monkeypatch.setenv("HOME", str(scene_files.parent.parent))
    for inputs, options in (
        (f"~/{scene_files.parent.name}/{scene_files.name}", {}),
        ([next(scene_files.parent.glob("*_cal.fits")).name], {"input_dir": str(scene_files.parent)}),
    ):
        assert pars_of(inputs, **options)["kernel_fwhm"] == 2.141


@pytest.mark.parametrize(
    "damage",
    [
        lambda text: b"header = {\n",
        lambda text: b"\xff" + text,
        lambda text: text.replace(b"'JWST'", b"'JWSZ'"),
        lambda text: b"",
    ],
    ids=["cut", "encoding", "observatory", "empty"],
)
def test_a_broken_rmap_is_no_reason_to_stop(tmp_path, caplog, damage):
    folder = user_folder(tmp_path, kernel_fwhm=9.0)
    path = next(folder.glob("*.rmap"))
    path.write_bytes(damage(path.read_bytes()))
    assert steppars.select(header(), folder) is None
    assert "cannot be applied" in caplog.text


def test_lines_of_a_configuration_file_are_read_as_configobj_reads_them(tmp_path):
    lines = [
        "# c",
        "sigma = 2  # c",
        "'snr_threshold' = '3'",
        "kron_params = 2.5, 1.4 # c",
        "xcol = it's",
        'ycol="a, b"',
        "",
    ]
    for encoding in ("utf-8", "utf-8-sig", "utf-16"):
        (tmp_path / "p.cfg").write_text("\n".join(lines), encoding=encoding)
        found = steppars.read_parameters(tmp_path / "p.cfg", [*DEFAULTS, "xcol", "ycol"])
        assert found == {
            "sigma": "2", "snr_threshold": "3", "kron_params": ["2.5", "1.4"], "xcol": "it's", "ycol": "a, b"
        }  # fmt: skip


def test_files_that_would_grow_without_limit(tmp_path):
    """References of values to values, arrays, and what is too large to be parameters."""
    path = tmp_path / "pars.cfg"
    path.write_text("name = x\nclass = tweakreg.TweakRegStep\nwcsname = %(xcol)s%(xcol)s\nxcol = aa\n")
    assert steppars.read_parameters(path, DEFAULTS)["wcsname"] == "%(xcol)s%(xcol)s"
    for line in ("sigma = " + "2 ,  " * 60 + "'", "x" + " " * 2000 + "= 2", '{"a": [1, 2]}'):
        path.write_text(f"name = x\n{line}\n")
        with pytest.raises(ParameterFileError, match="line 2 of it is no 'name = value'"):
            steppars.read_parameters(path, DEFAULTS)
    path.write_bytes(b"#" * (1 << 20) + b"\n")
    with pytest.raises(ParameterFileError, match="larger than 1 MB"):
        steppars.read_parameters(path, DEFAULTS)
    tree = {"class": "tweakreg.TweakRegStep", "parameters": {"sigma": np.zeros(3)}}
    asdf.AsdfFile(tree).write_to(path)
    with pytest.raises(ParameterFileError, match="'sigma' must be a value, not a section"):
        steppars.read_parameters(path, DEFAULTS)


# --- CRDS in every state ------------------------------------------------------------------------------------


def crds_cache(path, **parameters):
    """A CRDS cache that knows one reference file."""
    mappings, references, config = path / "mappings/jwst", path / "references/jwst", path / "config/jwst"
    for each in (mappings, references, config):
        each.mkdir(parents=True)
    made = user_folder(path / "made", **parameters)
    rmap = next(made.glob("*.rmap"))
    (mappings / rmap.name).write_text(rmap.read_text())
    (references / "nircam").mkdir()
    (config / "ref_cache_subdir_mode").write_text("flat")
    reference = next(made.glob("*.asdf"))
    reference.rename(references / reference.name)

    def mapping(name, kind, parkey, selector, **extra):
        head = {
            "mapping": kind,
            "observatory": "JWST",
            "name": name,
            "parkey": parkey,
            "sha1sum": "",
            "derived_from": "",
            **extra,
        }
        (mappings / name).write_text(f"header = {head!r}\n\nselector = {selector!r}\n")

    mapping(
        "jwst_nircam_0001.imap",
        "INSTRUMENT",
        ("REFTYPE",),
        {"pars-tweakregstep": rmap.name},
        instrument="NIRCAM",
    )
    mapping("jwst_0001.pmap", "PIPELINE", ("META.INSTRUMENT.NAME",), {"NIRCAM": "jwst_nircam_0001.imap"})
    info = {
        "observatory": "jwst",
        "operational_context": "jwst_0001.pmap",
        "edit_context": "jwst_0001.pmap",
        "bad_files": "",
        "bad_files_list": [],
        "last_synced": "2026-01-01",
        "reference_url": "",
        "mapping_url": "",
        "crds_version": {"str": "14.0.0"},
        "force_remote_mode": False,
    }
    (config / "server_config").write_text(repr(info))
    return path


def test_a_local_crds_cache(exposure_file, tmp_path):
    cache = crds_cache(tmp_path / "cache", kernel_fwhm=2.75, sigma=3.5)
    done = strun(
        "tweakreg",
        exposure_file,
        "--save-parameters=p.asdf",
        cwd=tmp_path,
        CRDS_PATH=str(cache),
        CRDS_IGNORE_MAPPING_CHECKSUM="1",
    )
    assert done.returncode == 0, done.stderr
    values = TweakRegStep.from_config_file(str(tmp_path / "p.asdf")).get_pars()
    assert (values["kernel_fwhm"], values["sigma"]) == (2.75, 3.5), done.stderr
    assert "Parameters from CRDS" in done.stderr


@contextmanager
def silent_server():
    """Accepts every connection and never answers."""
    with socket.create_server(("localhost", 0)) as server:
        yield f"http://localhost:{server.getsockname()[1]}"


@contextmanager
def answering_server(status, body):
    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(status)
            self.end_headers()
            self.wfile.write(body)

        do_POST = do_GET  # noqa: N815

        def log_message(self, *_):
            pass

    with http.server.ThreadingHTTPServer(("localhost", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://localhost:{server.server_address[1]}"
        server.shutdown()


@contextmanager
def refusing_server():
    with socket.create_server(("localhost", 0)) as server:
        port = server.getsockname()[1]
    yield f"http://localhost:{port}"


SERVERS = {
    "silent": silent_server,
    "refusing": refusing_server,
    "error": lambda: answering_server(500, b"no"),
    "page": lambda: answering_server(200, b"<html>maintenance</html>"),
    "refusal": lambda: answering_server(200, json.dumps({"error": "no such method", "result": None}).encode()),
}


@pytest.mark.parametrize("kind", SERVERS)
@pytest.mark.parametrize("cached", [False, True])
def test_a_server_that_fails(kind, cached, tmp_path):
    """The cache serves where there is one, otherwise the packaged parameters do."""
    cache = crds_cache(tmp_path / "cache", kernel_fwhm=2.75) if cached else tmp_path / "none"
    code = f"from tweakreg.steppars import parameter_file; print(parameter_file({header()!r}))"
    with SERVERS[kind]() as url:
        variables = environment(CRDS_SERVER_URL=url, CRDS_PATH=str(cache), CRDS_IGNORE_MAPPING_CHECKSUM="1")
        done = subprocess.run(
            [sys.executable, "-c", code], env=variables, capture_output=True, text=True, check=True, timeout=60
        )
    assert Path(done.stdout.split()[-1]).is_relative_to(cache if cached else FOLDER), done.stderr


def test_a_run_with_a_server_that_never_answers(exposure_file, tmp_path):
    with silent_server() as url:
        done = strun("tweakreg", exposure_file, cwd=tmp_path, CRDS_SERVER_URL=url, CRDS_PATH=str(tmp_path), timeout=60)
    assert done.returncode == 0, done.stderr
    assert f"the CRDS server {url} does not answer" in done.stderr
    assert "from the packaged file" in done.stderr


def test_a_look_up_that_never_ends(monkeypatch, caplog):
    monkeypatch.setenv("CRDS_PATH", "somewhere")
    monkeypatch.setattr(steppars, "LOOK_UP_PATIENCE", 0.1)
    monkeypatch.setattr(steppars, "_best_reference", lambda header: threading.Event().wait(3.0))
    assert steppars.parameter_file(header()).name == "jwst_nircam_pars-tweakregstep_f200w.asdf"
    assert "CRDS does not answer (no answer within 0 s)" in caplog.text


def test_crds_without_a_file_for_the_data_set(monkeypatch, caplog):
    monkeypatch.setenv("CRDS_PATH", "somewhere")
    monkeypatch.setattr(steppars, "_ask_crds", lambda header: "NOT FOUND n/a")
    caplog.set_level("INFO")
    assert steppars.parameter_file(header()).parent == FOLDER
    assert "CRDS has no parameter reference file" in caplog.text


def test_the_time_out_of_crds_is_ours_while_it_is_asked_and_the_users_where_there_is_one(monkeypatch):
    from crds.client import api
    from crds.core import config

    monkeypatch.setenv("CRDS_CLIENT_TIMEOUT_SECONDS", "3600")
    server = api.get_crds_server()
    with steppars._crds_settings("https://serverless.invalid"):
        assert config.get_client_timeout_seconds() == steppars.CLIENT_TIMEOUT == 10
        assert api.get_crds_server() == "https://serverless.invalid"
    assert config.get_client_timeout_seconds() == 3600
    assert api.get_crds_server() == server
    monkeypatch.setenv("CRDS_CLIENT_TIMEOUT_SECONDS", "77")
    with steppars._crds_settings():
        assert config.get_client_timeout_seconds() == 77


def test_a_look_up_that_outlives_our_patience_changes_no_server(monkeypatch):
    from crds.client import api

    monkeypatch.setenv("CRDS_PATH", "somewhere")
    monkeypatch.setenv("CRDS_SERVER_URL", "http://localhost:9")
    monkeypatch.setattr(steppars, "LOOK_UP_PATIENCE", 0.05)
    ended, seen = threading.Event(), []

    def late(header):
        ended.wait(5.0)
        seen.append(api.get_crds_server())
        return "NOT FOUND"

    monkeypatch.setattr(steppars, "_best_reference", late)
    before = api.get_crds_server()
    assert steppars._from_crds({"meta.instrument.name": "NIRCAM"}) is None
    assert api.get_crds_server() == before
    ended.set()
