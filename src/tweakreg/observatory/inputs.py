"""What people give as exposures, in one form."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from stpipe.datamodel import AbstractDataModel
from stpipe.library import AbstractModelLibrary

from tweakreg.errors import InputError
from tweakreg.observatory.missions import model_of_hdus
from tweakreg.observatory.named import exposures_named

_WHAT = "the list of exposures"
_TAKEN = "give an association, file names, open datamodels, or a library of them"


def items_of(inputs: Any) -> list[Any]:
    """The associations, libraries, files and datamodels among what was given.

    Parameters
    ----------
    inputs : object
        One of these, or any nesting of lists, tuples, arrays, table columns, generators and containers of datamodels.

    Returns
    -------
    list
        Of `Path`, mapping, library or datamodel; an HDUList is opened as one.

    Raises
    ------
    InputError
        It holds something else, or a folder.
    """
    return list(_items(inputs))


def _items(given: Any) -> Iterator[Any]:
    if isinstance(given, bytes):
        given = os.fsdecode(given)
    if isinstance(given, (str, os.PathLike)):
        yield from exposures_named(os.fspath(given))
    elif _is_hdulist(given):
        yield model_of_hdus(given)
    elif not isinstance(given, Sequence) and isinstance(given, (AbstractDataModel, AbstractModelLibrary, Mapping)):
        yield given  # a container of datamodels passes as one, but is a sequence too
    elif isinstance(given, np.ndarray) and given.ndim == 0:
        yield from _items(given.item())
    elif isinstance(given, Iterable) and not isinstance(given, (np.generic, np.void)):
        for each in given:
            yield from _items(each)
    else:
        raise InputError(_WHAT, f"it holds {given!r}, which is no exposure: {_TAKEN}")


def _is_hdulist(given: Any) -> bool:
    from astropy.io.fits import HDUList

    return isinstance(given, HDUList)
