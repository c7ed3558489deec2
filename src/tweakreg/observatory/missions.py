"""Which mission's module a file or datamodel belongs to: the one place that asks."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tweakreg.errors import InputError
from tweakreg.observatory.exposure import OpenImage
from tweakreg.observatory.jwst import JwstImage, read_tree
from tweakreg.observatory.names import bare_name
from tweakreg.observatory.whole import check_whole, unreadable


def image_of(model: Any, path: str | Path | None = None) -> OpenImage:
    """The image of an open datamodel.

    Parameters
    ----------
    model : datamodel
        Changed by what is written to the image.
    path : str or Path, optional
        Its file, for messages and its name; by default what its metadata say.

    Raises
    ------
    InputError
        It is no calibrated image.
    """
    path = path or str(model.meta.filename or "the datamodel")
    return JwstImage.checked(model, path, bare_name(path))


def open_model(filename: str | Path, **kwargs: Any) -> Any:
    """Open a file as a datamodel, of whatever kind.

    Parameters
    ----------
    filename : str or Path
        The file.
    **kwargs
        As for the datamodels' own ``open``.

    Raises
    ------
    InputError
        It cannot be opened.
    """
    from stdatamodels.jwst import datamodels

    if isinstance(filename, (str, Path)):
        check_whole(filename)
    try:
        return datamodels.open(filename, **kwargs)
    except Exception as error:  # astropy, asdf and stdatamodels each raise their own
        raise unreadable(filename, error, "cannot be opened as a datamodel") from error


@contextmanager
def opened(path: str | Path) -> Iterator[OpenImage]:
    """Open a file and check that it is an image that can be aligned.

    Parameters
    ----------
    path : str or Path
        The file.

    Raises
    ------
    InputError
        It cannot be opened, or is no calibrated image.
    """
    with open_model(path) as model:
        yield image_of(model, path)


@contextmanager
def rewritten(path: Path, output: Path) -> Iterator[OpenImage]:
    """Open a file, and write what became of it to another one, if nothing went wrong.

    Parameters
    ----------
    path, output : Path
        The file, which is not changed, and the new one.

    Raises
    ------
    InputError
        As for `opened`.
    """
    with open_model(path) as model:
        yield image_of(model, path)
        model.meta.filename = output.name
        model.save(output)


def result_tree(exposure: Any) -> dict[str, Any]:
    """The result that an exposure carries, as it is.

    Parameters
    ----------
    exposure : str, Path or datamodel
        Where it is sought.

    Raises
    ------
    InputError
        It carries none, or cannot be opened.
    """
    if isinstance(exposure, (str, Path)):
        with open_model(exposure) as model:
            return result_tree(model)
    tree = read_tree(exposure)
    if not tree:
        raise InputError(
            exposure.meta.filename, "carries no result of an alignment: it was not aligned by this package"
        )
    return tree
