"""What CRDS selects parameter reference files by."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from stpipe.datamodel import AbstractDataModel
from stpipe.library import AbstractModelLibrary

from tweakreg.errors import logger
from tweakreg.observatory.association import SCIENCE, check_association, load_association
from tweakreg.observatory.inputs import items_of
from tweakreg.observatory.library import located
from tweakreg.observatory.missions import mission_of

log = logger(__name__)


def crds_parameters(dataset: Any, input_dir: str = "") -> dict[str, Any]:
    """Flat metadata of the first science exposure; no pixel is read of a file.

    Parameters
    ----------
    dataset : str, Path, mapping, datamodel, list or library
        What the step is given.
    input_dir : str
        See `tweakreg.observatory.library.open_library`.
    """
    if isinstance(dataset, (AbstractModelLibrary, AbstractDataModel)):
        return {name.removeprefix("roman."): value for name, value in dataset.get_crds_parameters().items()}
    if isinstance(dataset, Iterator):
        return {}  # it would be used up
    first = items_of(dataset)[0]
    if not isinstance(first, (Path, Mapping)):
        return crds_parameters(first, input_dir)
    if isinstance(first, Mapping):
        path = _first_exposure(check_association(first, "the association", Path(input_dir)), Path(input_dir))
    else:
        path = located(first, input_dir)
        if path.suffix.lower() == ".json":
            path = _first_exposure(load_association(path), path.parent)
    return mission_of(path).selection(path)


def known_parameters(dataset: Any, input_dir: str = "") -> dict[str, Any]:
    """As `crds_parameters`; nothing where the input cannot be read, which is said when it is opened."""
    try:
        return crds_parameters(dataset, input_dir)
    except Exception as error:
        log.debug("no parameter reference file is sought, as the input cannot be read: %s", error)
        return {}


def _first_exposure(association: Mapping[str, Any], directory: Path) -> Path:
    members = association["products"][0]["members"]
    return directory / next(str(member["expname"]) for member in members if member["exptype"] == SCIENCE)
