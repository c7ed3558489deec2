"""Make the parameter reference files and their rmaps from the table.

    python pars/generate.py

Change a value in ``table.ecsv`` and run this; a test compares the files with the table.
"""

from __future__ import annotations

from pathlib import Path
from pprint import pformat
from typing import Any

import numpy as np
import yaml
from astropy.table import Row, Table

HERE = Path(__file__).parent
REFTYPE = "pars-tweakregstep"

_TYPE = {"META.EXPOSURE.TYPE": "exp_type"}
_FILTER = _TYPE | {"META.INSTRUMENT.FILTER": "filter"}
_PUPIL = _FILTER | {"META.INSTRUMENT.PUPIL": "pupil"}
_DETECTOR = {"META.INSTRUMENT.DETECTOR": "detector"}
_HST = ("acs", "wfc3", "wfpc2", "stis", "nicmos")

#: By what CRDS selects the parameters of an instrument, and the table's column for it.
KEYS = {"nircam": _PUPIL, "niriss": _PUPIL, "miri": _FILTER, "fgs": _TYPE, "wfi": _TYPE} | dict.fromkeys(
    _HST, _DETECTOR
)
#: Of what telescope an instrument is, if not of JWST.
_TELESCOPES = {"wfi": "ROMAN"} | dict.fromkeys(_HST, "HST")
_DATES = ("META.OBSERVATION.DATE", "META.OBSERVATION.TIME")
_NO_PARAMETERS = {"instrument", "name", "exp_type", "detector", "filter", "pupil", "sources"}
#: Sources whose values were found in no flight data.
_DUMMY = ("fgs", "wfi-runs", "hst-runs", "hst-alike")


def read_table() -> Table:
    """Every row becomes a parameter reference file."""
    return Table.read(HERE / "table.ecsv")


def telescope(instrument: str) -> str:
    """Name of the telescope of an instrument."""
    return _TELESCOPES.get(instrument, "JWST")


def filename(row: Row) -> str:
    """Name of the file of a row."""
    return f"{telescope(row['instrument']).lower()}_{row['instrument']}_{REFTYPE}_{row['name']}.asdf"


def rmap_name(instrument: str) -> str:
    """Name of the rules of an instrument."""
    return f"{telescope(instrument).lower()}_{instrument}_{REFTYPE}.rmap"


def tree(row: Row) -> dict[str, Any]:
    """Content of the parameter reference file of a row; an empty cell is no parameter."""
    values = {name: row[name] for name in row.colnames if row[name] is not np.ma.masked}
    parameters = {
        name: value.item() if isinstance(value, np.generic) else value
        for name, value in values.items()
        if name not in _NO_PARAMETERS
    }
    meta = row.meta
    optical = {name: str(values[name]) for name in ("detector", "filter", "pupil") if name in values}
    return {
        "class": "tweakreg.TweakRegStep",
        "name": "tweakreg",
        "parameters": {name: str(value) if isinstance(value, str) else value for name, value in parameters.items()},
        "meta": {
            "author": "The tweakreg developers",
            "date": meta["date"],
            "description": " ".join(meta["sources"][source] for source in str(values["sources"]).split()),
            **({"exposure": {"type": str(values["exp_type"])}} if "exp_type" in values else {}),
            "instrument": {"name": str(values["instrument"]).upper(), **optical},
            "origin": "tweakreg",
            "pedigree": "DUMMY" if str(values["sources"]).split()[0] in _DUMMY else "INFLIGHT 2022-07-12 2026-07-28",
            "reftype": REFTYPE,
            "telescope": telescope(str(values["instrument"])),
            "useafter": meta["useafter"],
        },
    }


def text(row: Row) -> str:
    """ASDF file of a row.

    Without the history that asdf would add: older versions warn of files of newer ones.
    """
    head = "#ASDF 1.0.0\n#ASDF_STANDARD 1.5.0\n%YAML 1.1\n%TAG ! tag:stsci.edu:asdf/\n--- !core/asdf-1.1.0\n"
    return head + yaml.safe_dump(tree(row), sort_keys=False, width=100) + "...\n"


def rmap(instrument: str, table: Table) -> str:
    """Text of the selection rules of an instrument."""
    from crds.core.rmap import ReferenceMapping

    keys = KEYS[instrument]
    name = rmap_name(instrument)
    is_dated = (
        telescope(instrument) == "JWST"
    )  # Roman's files have no such form of times; HST's rows hold for all of them
    header = {
        "derived_from": "table.ecsv",
        "file_ext": ".asdf",
        "filekind": REFTYPE,
        "filetype": REFTYPE,
        "instrument": instrument.upper(),
        "mapping": "REFERENCE",
        "name": name,
        "observatory": telescope(instrument),
        "parkey": (tuple(keys), _DATES) if is_dated else (tuple(keys),),
        "sha1sum": "",
        "suffix": REFTYPE,
        "text_descr": "TweakRegStep runtime parameters",
    }
    useafter = table.meta["useafter"].replace("T", " ")
    cases = "".join(
        f"    {tuple(str(row[column]) for column in keys.values())!r} : {_case(row, useafter if is_dated else '')},\n"
        for row in table[table["instrument"] == instrument]
    )
    text = f"header = {pformat(header, width=140)}\n\nselector = Match({{\n{cases}}})\n"
    mapping = ReferenceMapping.from_string(text, name, ignore_checksum=True)
    mapping.header["sha1sum"] = mapping._get_checksum(mapping.format())
    return str(mapping.format())


def _case(row: Row, useafter: str) -> str:
    """What is chosen in a case: the file, from a date on if there is one."""
    return f"UseAfter({{\n        {useafter!r} : {filename(row)!r},\n    }})" if useafter else repr(filename(row))


def main() -> None:
    """Write all files into this folder and remove those that the table no longer has."""
    table = read_table()
    names = set()
    for row in table:
        (HERE / filename(row)).write_text(text(row), encoding="utf-8")
        names.add(filename(row))
    for instrument in KEYS:
        name = rmap_name(instrument)
        (HERE / name).write_text(rmap(instrument, table), encoding="utf-8")
        names.add(name)
    for path in HERE.glob(f"*_{REFTYPE}*"):
        if path.name not in names:
            path.unlink()


if __name__ == "__main__":
    main()
