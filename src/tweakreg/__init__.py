"""Align astronomical exposures to each other and to a reference catalog."""

from importlib import import_module
from importlib.metadata import version
from typing import Any

__version__ = version("tweakreg")

__all__ = [
    "SINGLE_GROUP_REFCAT",
    "ModelLibrary",
    "TweakRegStep",
    "__version__",
    "adjust_wcs",
    "read_correction",
    "read_result",
    "transfer_wcs_correction",
]

_LAZY = {
    "TweakRegStep": "tweakreg.step",
    "ModelLibrary": "tweakreg.observatory.library",
    "SINGLE_GROUP_REFCAT": "tweakreg.reference.providers",
    "adjust_wcs": "tweakreg.wcs.adjust",
    "read_correction": "tweakreg.corrections.change",
    "read_result": "tweakreg.observatory.jwst",
    "transfer_wcs_correction": "tweakreg.corrections.change",
}


def __getattr__(name: str) -> Any:
    # stpipe and the datamodels take a second to import: only who asks for them pays.
    if name in _LAZY:
        return getattr(import_module(_LAZY[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
