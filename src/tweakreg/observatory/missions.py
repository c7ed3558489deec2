"""Which mission's module a file or datamodel belongs to: the one place that asks."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from stpipe.library import NoGroupID

from tweakreg.errors import InputError, TweakRegError, first_line
from tweakreg.observatory import hst, jwst, roman
from tweakreg.observatory.exposure import Mission, OpenImage, plain
from tweakreg.observatory.whole import check_whole, unreadable

#: Asked one after the other; the last takes what no other does, and says what it lacks.
MISSIONS: tuple[Mission, ...] = (hst, roman, jwst)


def mission_of(exposure: Any) -> Mission:
    """The module for a file or an open datamodel.

    Parameters
    ----------
    exposure : str, Path or datamodel
        No pixel is read of a file.
    """
    if isinstance(exposure, (str, Path)):
        path = Path(exposure)
        return next(mission for mission in MISSIONS if mission.is_file(path))
    return next(mission for mission in MISSIONS if mission.is_model(exposure))


def images_of(model: Any, path: str | Path | None = None) -> Sequence[OpenImage]:
    """The images of an open datamodel.

    Parameters
    ----------
    model : datamodel
        Changed by what is written to the images.
    path : str or Path, optional
        Its file, for messages and its name; by default what its metadata say.

    Raises
    ------
    InputError
        It has no calibrated image.
    """
    return mission_of(model).images(model, path or str(model.meta.filename or "the datamodel"))


def image_of(model: Any, path: str | Path | None = None) -> OpenImage:
    """As `images_of`, of a datamodel that has one.

    Raises
    ------
    InputError
        It has none, or several.
    """
    return only_one(images_of(model, path), path or model.meta.filename)


def only_one(images: Sequence[OpenImage], path: object) -> OpenImage:
    """The image of a file that has one, which has the name `path` in messages; see `image_of`."""
    if len(images) > 1:
        raise InputError(path, f"holds {len(images)} images where one is needed")
    return images[0]


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
    if isinstance(filename, (str, Path)):
        check_whole(filename)
    try:
        return mission_of(filename).open_model(filename, **kwargs)
    except TweakRegError:
        raise
    except Exception as error:  # astropy, asdf and the datamodels each raise their own
        raise unreadable(filename, error, "cannot be opened as a datamodel") from error


def model_of_hdus(hdulist: Any) -> Any:
    """An open FITS file as a datamodel.

    Parameters
    ----------
    hdulist : astropy.io.fits.HDUList
        Kept open.

    Raises
    ------
    InputError
        It cannot be one.
    """
    try:
        return (hst if hst.is_header(hdulist[0].header) else jwst).model_of_hdus(hdulist)
    except Exception as error:  # as for a file
        reason = first_line(error)
        raise InputError(hdulist.filename() or "the HDUList", f"cannot be opened as a datamodel ({reason})") from error


def group_of_file(path: str | Path) -> str:
    """The exposure to which a file belongs; no pixel is read.

    Parameters
    ----------
    path : str or Path
        The file.

    Raises
    ------
    InputError
        It cannot be read.
    stpipe.library.NoGroupID
        It does not say.
    """
    check_whole(path)
    try:
        return mission_of(path).group_of_file(Path(path))
    except (NoGroupID, TweakRegError):
        raise
    except Exception as error:  # as for opening
        raise unreadable(path, error, "not the FITS or ASDF file of a datamodel") from error


@contextmanager
def opened(path: str | Path) -> Iterator[Sequence[OpenImage]]:
    """Open a file and check that it has images that can be aligned.

    Parameters
    ----------
    path : str or Path
        The file.

    Raises
    ------
    InputError
        It cannot be opened, or has no calibrated image.
    """
    with open_model(path) as model:
        yield images_of(model, path)


@contextmanager
def rewritten(path: Path, output: Path) -> Iterator[Sequence[OpenImage]]:
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
        yield images_of(model, path)
        model.meta.filename = output.name
        model.save(output)


def result_trees(exposure: Any) -> list[dict[str, Any]]:
    """The results that the images of an exposure carry, as they are.

    Parameters
    ----------
    exposure : str, Path or datamodel
        Where they are sought.

    Raises
    ------
    InputError
        It carries none, or cannot be opened.
    """
    if isinstance(exposure, (str, Path)):
        with open_model(exposure) as model:
            return result_trees(model)
    found = [image.state().result for image in images_of(exposure)]
    trees: list[dict[str, Any]] = [plain(tree) for tree in found if tree]
    if not trees:
        raise InputError(
            exposure.meta.filename, "carries no result of an alignment: it was not aligned by this package"
        )
    return trees
