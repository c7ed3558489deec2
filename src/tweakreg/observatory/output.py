"""Names of the results, and writing them so that a killed run leaves nothing half-written."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path
from typing import Any

from tweakreg.errors import OutputError, ParameterError, first_line, logger
from tweakreg.files import at_home, exists, staging
from tweakreg.observatory.association import output_association
from tweakreg.observatory.library import ModelLibrary
from tweakreg.observatory.names import file_name, stem

log = logger(__name__)

#: Bytes of a name; 255 are possible, and names of tables and plots are longer.
_LONGEST = 230


def output_folder(output_dir: str | None, output_file: str | None) -> Path:
    """Where results go: output_dir, or the folder in output_file, which must be inside it if both are given.

    Parameters
    ----------
    output_dir, output_file : str or None
        As the step has them; variables and ``~`` mean what they mean to a shell.

    Raises
    ------
    ParameterError
        output_file is no name of a file, or leads out of output_dir.
    """
    folder = at_home(os.path.expandvars(output_dir or "."))
    if not output_file:
        return folder
    path = at_home(os.path.expandvars(output_file))
    if output_file.endswith("/") or not file_name(stem(path)):
        raise ParameterError("output_file", output_file, "is not the name of a file; set output_dir for a folder")
    inside = folder / path.parent
    if output_dir and not Path(os.path.abspath(inside)).is_relative_to(os.path.abspath(folder)):  # noqa: PTH100
        raise ParameterError("output_file", output_file, f"leads out of output_dir = {output_dir}: give one of them")
    return inside


def _plan_in_place(library: ModelLibrary) -> list[Path]:
    """The exposures' own files, once it is known that they can be replaced.

    Parameters
    ----------
    library : ModelLibrary
        The exposures.

    Raises
    ------
    ParameterError
        They are no files, or packed ones, or in several folders, which could not be replaced all at once.
    """
    paths = [Path(os.path.abspath(library.member_path(index))) for index in range(len(library))]  # noqa: PTH100

    def refuse(why: str) -> ParameterError:
        return ParameterError("in_place", True, why)

    if not library.of_files or any("://" in str(library.member_path(index)) for index in range(len(library))):
        raise refuse("is for exposures that are files")
    if len({path.parent for path in paths}) > 1:
        raise refuse("is for exposures in one folder: run the folders one by one, or set output_dir")
    for path, mission in zip(paths, library.missions, strict=True):
        if path.suffix not in mission.ENDINGS:
            raise refuse(f"cannot replace {path.name}: unpack it, or set output_dir")
        if not os.access(path, os.W_OK) or path.is_symlink():
            raise refuse(f"cannot replace {path.name}: it is a link, or must not be written")
    if len(set(paths)) < len(paths):
        raise OutputError("an exposure is listed twice")
    return paths


def plan_outputs(
    library: ModelLibrary,
    directory: Path,
    suffix: str,
    output_file: str | None = None,
    ending: str = ".fits",
    *,
    in_place: bool = False,
) -> list[Path]:
    """Where the results of each exposure go, once it is known that they can be written.

    Parameters
    ----------
    library : ModelLibrary
        The exposures.
    directory : Path
        For the results.
    suffix : str
        Without underscore.
    output_file : str, optional
        Name to use for a single exposure instead of its own.
    ending : str
        '.fits' or '.asdf'.
    in_place : bool
        Whether results replace the exposures: nothing else counts then.

    Raises
    ------
    ParameterError
        The exposures cannot be replaced.
    OutputError
        Two results would have one name, or a result would replace an input.
    InputError
        The metadata of an exposure have what a FITS header cannot hold.
    """
    if in_place:
        return _plan_in_place(library)
    sources = [library.member_path(index) for index in range(len(library))]
    named = [Path(output_file)] if output_file and len(sources) == 1 else sources
    missions = library.missions
    endings = [ending if ending in mission.ENDINGS else mission.ENDINGS[0] for mission in missions]
    outputs = [
        directory / mission.output_name(name, suffix, end)
        for mission, name, end in zip(missions, named, endings, strict=True)
    ]
    association = association_name(library, suffix, output_file)
    for name in [*(output.name for output in outputs), *([association] if association else [])]:
        _check_name(name)
    inputs = {source.resolve() for source in sources if exists(source)}
    seen: dict[Path, Path] = {}
    for source, output in zip(sources, outputs, strict=True):
        if output in seen and seen[output] == source:
            raise OutputError(f"{source} is listed twice")
        if output in seen:
            raise OutputError(f"{seen[output]} and {source} would both be written to {output}: rename one of them")
        if output.is_dir():
            raise OutputError(f"{output} is a folder: remove it, or set output_dir or suffix")
        # Of an open datamodel only the name is known: it may be the file in the output folder.
        if output.resolve() in inputs or (not exists(source) and output.exists() and output.name == source.name):
            raise OutputError(f"the result would replace the input {output}: set output_dir or suffix, or in_place")
        seen[output] = source
    if association and library.asn_path and (directory / association).resolve() == library.asn_path.resolve():
        raise OutputError(f"the result would replace the input {library.asn_path}: set output_dir or suffix")
    library.check_savable(endings)
    return outputs


def _check_name(name: str) -> None:
    """Refuse the name of a result that no file, or no FITS header, can have."""
    if len(os.fsencode(name)) > _LONGEST:
        raise OutputError(f"the name {name[:40]}... of a result is too long: rename the exposure, or set suffix")
    if not name.isprintable():
        raise OutputError(f"the name {name!r} of a result has letters that do not show: rename the exposure")
    if name.endswith(".fits") and not name.isascii():
        raise OutputError(f"a FITS header cannot hold the name {name}: rename it, or set output_ext to .asdf")


def save_library(
    library: ModelLibrary, outputs: list[Path], suffix: str, output_file: str | None = None, *, in_place: bool = False
) -> list[Path]:
    """Write every exposure and, for an association, the association of the results; exposures in place have theirs.

    Returns
    -------
    list of Path
        What was written; the association is the last.
    """
    directory = outputs[0].parent
    asn_name = None if in_place else association_name(library, suffix, output_file)
    with staging(directory) as temporary:
        with library:
            for index, output in enumerate(outputs):
                saved = library.temporary_file(index)
                if saved is not None and saved.name == output.name:
                    _link_or_copy(saved, temporary / output.name)
                    continue
                model = library.borrow(index)
                _save(model, temporary / output.name)
                library.shelve(model, index, modify=False)
                del model
        if asn_name is not None and library.association is not None:
            names = {member["expname"]: output.name for member, output in zip(library.members, outputs, strict=True)}
            association = output_association(library.association, names, library.asn_dir, directory)
            (temporary / asn_name).write_text(json.dumps(association, indent=4) + "\n", encoding="utf-8")
    written = [*outputs, *([directory / asn_name] if asn_name else [])]
    for path in written:
        log.info("Wrote %s", path)
    return written


def _save(model: Any, path: Path) -> None:
    try:
        model.save(path)
    except OSError:
        raise
    except Exception as error:  # astropy, asdf and jsonschema each raise their own
        raise OutputError(f"{path.name} cannot be written: {first_line(error)}") from error


def _link_or_copy(saved: Path, output: Path) -> None:
    """A second name for a FITS file, which is replaced rather than changed when an exposure is written again."""
    if output.suffix == ".fits":
        try:
            os.link(saved, output)
            return
        except OSError:
            log.debug("%s and %s are on different disks: copied", saved, output)
    shutil.copyfile(saved, output)


def run_name(library: ModelLibrary, suffix: str, output_file: str | None) -> str:
    """With what the names of files about the whole run begin."""
    name = association_name(library, suffix, output_file)
    if name is not None:
        return name.removesuffix("_asn.json")
    return f"{stem(output_file or library.member_path(0))}_{suffix}"


def association_name(library: ModelLibrary, suffix: str, output_file: str | None) -> str | None:
    """File name of the association of the results; None unless the input was an association with a name."""
    if library.association is None:
        return None
    product = library.association["products"][0].get("name")
    if output_file and len(library) > 1:
        base = stem(output_file)
    elif library.asn_path is not None:
        base = stem(library.asn_path.stem.removesuffix("_asn"))
    else:
        base = file_name(product or "")
    if not base:
        return None
    return f"{base}_{suffix}_asn.json"
