"""Reading, checking and writing associations."""

from __future__ import annotations

import copy
import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from tweakreg.errors import AssociationError, InputError, first_line
from tweakreg.files import is_file, shown
from tweakreg.schema import said_of, violation

SCIENCE = "science"


def load_association(path: str | Path) -> dict[str, Any]:
    """Read an association file and check it.

    Parameters
    ----------
    path : str or Path
        JSON file that follows ``schemas/association.schema.json``.

    Returns
    -------
    dict
        The association, exposure types in lower case.

    Raises
    ------
    InputError
        The file is missing or is not JSON.
    AssociationError
        It does not follow the schema, or a science member's file is missing.
    """
    path = Path(path)
    if not is_file(path):
        raise InputError(shown(path), "the association does not exist")
    try:
        association = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise InputError(path, f"cannot be read: {error.strerror}") from error
    except (ValueError, RecursionError) as error:  # also of numbers with thousands of digits
        raise InputError(path, f"not a JSON file ({first_line(error)})") from error
    return check_association(association, path, path.parent)


def check_association(association: Any, name: object, directory: Path) -> dict[str, Any]:
    """Check an association against the schema and that its science members exist.

    Parameters
    ----------
    association : mapping
        As it was read.
    name : object
        For messages.
    directory : Path
        To which the members' names are relative.

    Returns
    -------
    dict
        A copy, exposure types in lower case.

    Raises
    ------
    AssociationError
        Names the field that is wrong.
    """
    try:
        _validate(association, name)
        checked = copy.deepcopy(dict(association))
    except RecursionError as error:
        raise AssociationError(name, "is nested too deeply") from error
    members = checked["products"][0]["members"]
    for index, member in enumerate(members):
        member["exptype"] = member["exptype"].lower()
        is_remote = "://" in member["expname"]
        if member["exptype"] == SCIENCE and not is_remote and not is_file(directory / member["expname"]):
            field = f"products[0].members[{index}].expname"
            missing = shown(member["expname"])
            raise AssociationError(name, f"{field} = '{missing}': no such file in {directory.resolve()}")
    if not any(member["exptype"] == SCIENCE for member in members):
        raise AssociationError(name, "products[0].members: none has exptype 'science', so there is nothing to align")
    return checked


def _validate(association: Any, name: object) -> None:
    error = violation(association, "association")
    if error is None:
        return
    if error.json_path == "$.products" and error.validator == "maxItems":
        number = len(error.instance)
        problem = f"has {number} products, as of level 2: give an association with one, or its exposures themselves"
    else:
        problem = said_of(error)
    raise AssociationError(name, f"{error.json_path.removeprefix('$.')}: {problem}")


def association_of_files(paths: Sequence[Path]) -> dict[str, Any]:
    """A minimal association of exposure files.

    Raises
    ------
    InputError
        One of them does not exist.
    """
    for path in paths:
        if not is_file(path):
            raise InputError(shown(path), "the file does not exist")
    members = [{"expname": str(path), "exptype": SCIENCE} for path in paths]
    return {"products": [{"name": None, "members": members}]}


def output_association(
    association: Mapping[str, Any], outputs: Mapping[str, str], old_directory: Path, new_directory: Path
) -> dict[str, Any]:
    """The association of the results.

    Parameters
    ----------
    association : mapping
        The input association, with members of every exposure type.
    outputs : mapping of str to str
        New file name of each science member.
    old_directory, new_directory : Path
        To which names in the old and in the new association are relative.

    Returns
    -------
    dict
        Other members as they were; names are rewritten only as far as the folder demands.
    """
    result = copy.deepcopy(dict(association))
    result.pop("table_name", None)
    moved = old_directory.resolve() != new_directory.resolve()

    def relocated(name: str) -> str:
        return os.path.relpath(old_directory / name, new_directory) if moved and "://" not in name else name

    for member in result["products"][0]["members"]:
        if member["exptype"] == SCIENCE:
            member["expname"] = outputs[member["expname"]]
        else:
            member["expname"] = relocated(member["expname"])
        if member.get("tweakreg_catalog"):
            member["tweakreg_catalog"] = relocated(member["tweakreg_catalog"])
    return result
