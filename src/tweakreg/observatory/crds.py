"""What CRDS selects parameter reference files by."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from stpipe.datamodel import AbstractDataModel
from stpipe.library import AbstractModelLibrary

from tweakreg.observatory.library import ModelLibrary


def crds_parameters(dataset: Any) -> dict[str, Any]:
    """Flat metadata of the first science exposure; no pixel is read of a file.

    Parameters
    ----------
    dataset : str, Path, mapping, datamodel, list or library
    """
    from stdatamodels.jwst.datamodels import read_metadata

    if isinstance(dataset, (AbstractModelLibrary, AbstractDataModel)):
        return dict(dataset.get_crds_parameters())
    if isinstance(dataset, (list, tuple)):
        return crds_parameters(dataset[0])
    if isinstance(dataset, Mapping) or Path(dataset).suffix.lower() == ".json":
        dataset = ModelLibrary(dataset, asn_n_members=1).member_path(0)
    return dict(read_metadata(dataset, flatten=True))
