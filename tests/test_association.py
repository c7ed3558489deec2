"""Associations: what is refused, and what stands unchanged."""

from __future__ import annotations

from pathlib import Path

import pytest

from tweakreg import ModelLibrary
from tweakreg.errors import AssociationError, InputError
from tweakreg.observatory.association import check_association, load_association, output_association


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{", "not a JSON file"),
        ("[]", "is not of type 'object'"),
        ("{}", "'products' is a required property"),
        ('{"products": []}', "products"),
        ('{"products": [{"members": []}]}', r"products\[0\].members"),
        ('{"products": [{"members": [{"expname": "a.fits"}]}]}', r"members\[0\]: 'exptype' is a required property"),
        ('{"products": [{"members": [{"expname": 5, "exptype": "science"}]}]}', r"members\[0\].expname: 5 is not of"),
        ('{"products": [{"members": [{"expname": "a.fits", "exptype": "science"}]}]}', "a.fits': no such file"),
        ('{"products": [{"members": [{"expname": "a.fits", "exptype": "background"}]}]}', "none has exptype 'science'"),
    ],
)
def test_a_broken_association_names_file_and_field(tmp_path, content, message):
    path = tmp_path / "broken_asn.json"
    path.write_text(content)
    with pytest.raises(InputError, match=message) as error:
        load_association(path)
    assert "broken_asn.json" in str(error.value)


def test_missing_association(tmp_path):
    with pytest.raises(InputError, match=r"none\.json: the association does not exist"):
        ModelLibrary(tmp_path / "none.json")


def test_other_members_stand_unchanged_in_the_association_of_the_results():
    members = [
        {"expname": "a_cal.fits", "exptype": "science", "tweakreg_catalog": "a.ecsv"},
        {"expname": "b_x1d.fits", "exptype": "sourcecat", "note": 3},
    ]
    association = {"asn_id": "a1", "products": [{"name": "p", "members": members}], "table_name": "x"}
    same = output_association(association, {"a_cal.fits": "a_tweakreg.fits"}, Path("d"), Path("d"))
    assert same["products"][0]["members"][1] == members[1]
    assert same["products"][0]["members"][0]["expname"] == "a_tweakreg.fits"
    assert "table_name" not in same
    moved = output_association(association, {"a_cal.fits": "a_tweakreg.fits"}, Path("d"), Path("d/out"))
    assert moved["products"][0]["members"][1]["expname"] == "../b_x1d.fits"
    assert moved["products"][0]["members"][0]["tweakreg_catalog"] == "../a.ecsv"


def test_a_long_association_is_refused_in_short(tmp_path):
    product = {"name": "p", "members": [{"expname": "a.fits", "exptype": "science"}]}
    for association, words in (
        ({"products": [product] * 300}, "has 300 products"),
        ({"products": [{"members": "x" * 9999}]}, "is not of type"),
        ({"products": [{"members": [{"expname": "x" * 9999, "exptype": "science"}]}]}, "no such file"),
    ):
        with pytest.raises(AssociationError, match=words) as raised:
            check_association(association, "long_asn.json", tmp_path)
        assert len(str(raised.value)) < 500


@pytest.mark.parametrize("content", ["[" * 100000, "1" * 5000, '{"products": ' * 400 + "1" + "}" * 400])
def test_json_that_breaks_the_reader(tmp_path, content):
    (tmp_path / "x_asn.json").write_text(content)
    with pytest.raises(InputError, match=r"x_asn\.json"):
        load_association(tmp_path / "x_asn.json")
