"""Which custom catalog belongs to which exposure."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import unquote

from tweakreg.errors import CatalogError, logger, printable
from tweakreg.files import at_home, exists
from tweakreg.observatory.library import ModelLibrary

log = logger(__name__)


def read_catfile(path: str | Path) -> dict[str, Path | None]:
    """Read a file with two columns: exposure and catalog, the latter relative to the file.

    Returns
    -------
    dict
        File name of an exposure to its catalog; None where the second column is empty.

    Raises
    ------
    CatalogError
        A line has more than two columns.
    """
    path = at_home(path)
    catalogs: dict[str, Path | None] = {}
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise CatalogError(path, f"not a text file with two columns ({error})") from error
    for number, line in enumerate(lines, start=1):
        words = line.split("#")[0].split()
        if len(words) > 2:
            raise CatalogError(path, f"line {number} has {len(words)} columns; it may have an exposure and a catalog")
        if words:
            catalogs[Path(words[0]).name] = path.parent / words[1] if len(words) == 2 else None
    return catalogs


def custom_catalogs(library: ModelLibrary, catfile: str) -> dict[int, Path | None]:
    """Catalogs named in catfile, or else in the association.

    Parameters
    ----------
    library : ModelLibrary
        The exposures.
    catfile : str
        If not empty, catalogs in the association are ignored altogether; with a file that
        lists no exposure at all, those in the exposures' metadata as well.

    Returns
    -------
    dict
        Index of an exposure to its catalog, None where sources are to be found. For an
        exposure that is not listed its own metadata decide.
    """
    if catfile:
        listed = read_catfile(catfile)
        if not listed:
            log.warning("%s lists no exposure: sources are found in all of them", catfile)
            return dict.fromkeys(range(len(library)))
        names = {index: library.member_path(index).name for index in range(len(library))}
        for unknown in listed.keys() - names.values():
            log.warning("%s: %s is not among the exposures", catfile, printable(unknown))
        return {index: listed[name] for index, name in names.items() if name in listed}
    catalogs: dict[int, Path | None] = {}
    for index, member in enumerate(library.members):
        if "tweakreg_catalog" in member:
            name = (member["tweakreg_catalog"] or "").strip()
            catalogs[index] = library.asn_dir / name if name else None
    return catalogs


def own_catalog(name: str | None, exposure: Path) -> Path | None:
    """The catalog in an exposure's ``meta.tweakreg_catalog``: as given, or beside the exposure.

    A name that a FITS header cannot hold stands there as in a URL; see `tweakreg.observatory.header.held`.
    """
    if name is None or not name.strip():
        return None
    path = exposure.parent / name.strip()
    for each in (name.strip(), unquote(name.strip())):
        for candidate in (Path(each), exposure.parent / each):
            if exists(candidate):
                return candidate
    return path
