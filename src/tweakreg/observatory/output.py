"""Names of the results, and writing them so that a killed run leaves nothing half-written."""

from __future__ import annotations

import json
import logging
import os
import shutil
from pathlib import Path

from tweakreg.errors import OutputError
from tweakreg.files import staging
from tweakreg.observatory.association import output_association
from tweakreg.observatory.library import ModelLibrary
from tweakreg.observatory.names import stem

log = logging.getLogger(__name__)


def plan_outputs(
    library: ModelLibrary, directory: Path, suffix: str, output_file: str | None = None, ending: str = ".fits"
) -> list[Path]:
    """Where the results of each exposure go.

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

    Raises
    ------
    OutputError
        Two results would have one name, or a result would replace an input.
    """
    sources = [library.member_path(index) for index in range(len(library))]
    names = [stem(source) for source in sources]
    if output_file and len(names) == 1:
        names = [stem(output_file)]
    outputs = [directory / f"{name}_{suffix}{ending}" for name in names]
    inputs = {source.resolve() for source in sources if source.exists()}
    seen: dict[Path, Path] = {}
    for source, output in zip(sources, outputs, strict=True):
        if output in seen and seen[output] == source:
            raise OutputError(f"{source} is listed twice")
        if output in seen:
            raise OutputError(f"{seen[output]} and {source} would both be written to {output}: rename one of them")
        if ending == ".fits" and not (output.name.isascii() and output.name.isprintable()):
            raise OutputError(
                f"a FITS header cannot hold the name {output.name}: rename it, or set output_ext to .asdf"
            )
        if output.is_dir():
            raise OutputError(f"{output} is a folder: remove it, or set output_dir or suffix")
        # Of an open datamodel only the name is known: it may be the file in the output folder.
        if output.resolve() in inputs or (not source.exists() and output.exists() and output.name == source.name):
            raise OutputError(f"the result would replace the input {output}: set output_dir or suffix")
        seen[output] = source
    association = association_name(library, suffix, output_file)
    if association and library.asn_path and (directory / association).resolve() == library.asn_path.resolve():
        raise OutputError(f"the result would replace the input {library.asn_path}: set output_dir or suffix")
    return outputs


def save_library(library: ModelLibrary, outputs: list[Path], suffix: str, output_file: str | None = None) -> list[Path]:
    """Write every exposure and, for an association, the association of the results.

    Returns
    -------
    list of Path
        What was written; the association is the last.
    """
    directory = outputs[0].parent
    asn_name = association_name(library, suffix, output_file)
    with staging(directory) as temporary:
        with library:
            for index, output in enumerate(outputs):
                saved = library.temporary_file(index)
                if saved is not None and saved.name == output.name:
                    _link_or_copy(saved, temporary / output.name)
                    continue
                model = library.borrow(index)
                model.save(temporary / output.name)
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
    elif product:
        base = product
    else:
        return None
    return f"{base}_{suffix}_asn.json"
