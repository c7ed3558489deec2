"""Align astronomical exposures to each other and to a reference catalog."""

from importlib import import_module
from importlib.metadata import version
from typing import Any

__version__ = version("tweakreg")

#: The public names and where they live: stpipe and the datamodels take a second to import, so only who asks pays.
_LAZY = {
    "ImageResult": "tweakreg.pipeline.result",
    "ModelLibrary": "tweakreg.observatory.library",
    "RunResult": "tweakreg.pipeline.run",
    "SINGLE_GROUP_REFCAT": "tweakreg.reference.providers",
    "TweakRegStep": "tweakreg.step",
    "adjust_wcs": "tweakreg.wcs.adjust",
    "align": "tweakreg.pipeline.run",
    "align_on_plane": "tweakreg.alignment.stages",
    "apply_correction": "tweakreg.corrections.change",
    "compose_corrections": "tweakreg.corrections.record",
    "read_correction": "tweakreg.corrections.file",
    "read_result": "tweakreg.results.tree",
    "transfer_wcs_correction": "tweakreg.corrections.change",
    "undo_correction": "tweakreg.corrections.change",
    "write_correction": "tweakreg.corrections.file",
}

__all__ = [
    "SINGLE_GROUP_REFCAT",
    "ImageResult",
    "ModelLibrary",
    "RunResult",
    "TweakRegStep",
    "__version__",
    "adjust_wcs",
    "align",
    "align_on_plane",
    "apply_correction",
    "compose_corrections",
    "read_correction",
    "read_result",
    "transfer_wcs_correction",
    "undo_correction",
    "write_correction",
]


def __getattr__(name: str) -> Any:
    if name in _LAZY:
        return getattr(import_module(_LAZY[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
