"""The library of exposures that the step works on."""

from __future__ import annotations

import copy
import gc
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any

from stpipe.library import AbstractModelLibrary

from tweakreg.errors import InputError
from tweakreg.files import at_home, exists
from tweakreg.observatory.association import (
    SCIENCE,
    association_of_files,
    check_association,
    load_association,
)
from tweakreg.observatory.exposure import Mission
from tweakreg.observatory.inputs import items_of
from tweakreg.observatory.missions import MISSIONS, group_of_file, mission_of, open_model
from tweakreg.observatory.names import ending_of
from tweakreg.process import quick_collection


class ModelLibrary(AbstractModelLibrary):
    """Exposures of an association, grouped by exposure.

    Parameters
    ----------
    init : str, Path, mapping, datamodel, or list of paths or datamodels
        An association (file or mapping), one exposure, or several. Names in an
        association file are relative to it, in a mapping to the current directory.
    on_disk : bool
        Keep exposures in temporary files while they are not in use. Datamodels that are
        already open stay in memory.
    **kwargs
        As for `stpipe.library.AbstractModelLibrary`.

    Raises
    ------
    InputError
        A file is missing or cannot be read.
    AssociationError
        The association is not valid.

    Notes
    -----
    Only members of exposure type "science" are in the library, whatever the case of
    the word; `association` keeps the others. A member's ``group_id`` comes from the
    association, else from the exposure's ``meta.group_id``, else from its observation
    keywords, else it is a group of its own. Datamodels are used as they are, not copied.
    """

    def __init__(self, init: Any, on_disk: bool = False, **kwargs: Any) -> None:
        items = items_of(init)
        if not items:
            raise InputError("the list of exposures", "it is empty: name an association or exposures")
        if len(items) == 1 and (isinstance(items[0], Mapping) or _is_association(items[0])):
            init = items[0]
        else:
            _check_kinds(items)
            on_disk = on_disk and isinstance(items[0], Path)
            init = association_of_files(items) if isinstance(items[0], Path) else items
        self._of_files = isinstance(init, (Mapping, Path))
        #: The association's file, if it is one.
        self.asn_path = init if isinstance(init, Path) else None
        #: The association with members of every exposure type; None for open datamodels.
        self.association: dict[str, Any] | None = None
        if isinstance(init, Mapping):
            init = self.association = check_association(init, "the association", Path())
        elif isinstance(init, Path):
            self.association = load_association(init)
        kwargs.setdefault("asn_exptypes", [SCIENCE])
        super().__init__(init, on_disk=on_disk, **kwargs)
        if len(self) == 0:
            raise InputError("the list of exposures", "none has exptype 'science', so there is nothing to align")

    @property
    def crds_observatory(self) -> str:
        """Name of the observatory for CRDS, of the first exposure."""
        return self.missions[0].NAME

    @property
    def on_disk(self) -> bool:
        """Whether exposures are in temporary files while they are not in use."""
        return bool(self._on_disk)

    @property
    def of_files(self) -> bool:
        """Whether the exposures are files, which other processes can open, too."""
        return self._of_files

    @property
    def asn_dir(self) -> Path:
        """To which the names of the members are relative."""
        return Path(self._asn_dir or ".")

    @property
    def members(self) -> list[dict[str, Any]]:
        """The association's entries of the exposures in the library."""
        return list(self._members)

    @property
    def missions(self) -> list[Mission]:
        """Of each exposure, the module that knows it."""
        if self.of_files:
            return [mission_of(self.member_path(index)) for index in range(len(self))]
        return [mission_of(self._loaded_models[index]) for index in range(len(self))]

    def is_grouped(self, index: int) -> bool:
        """Whether the association says to which group an exposure belongs."""
        listed = [] if self.association is None else self.association["products"][0]["members"]
        name = self._members[index]["expname"]
        return any(each["expname"] == name and each.get("group_id") for each in listed)

    def member_path(self, index: int) -> Path:
        """The file of an exposure; for an open datamodel its file name."""
        return self.asn_dir / str(self._members[index]["expname"])

    def put_back(self, model: Any, index: int, *, changed: bool) -> None:
        """Shelve a model; one on disk is also taken out of memory at once.

        Datamodels hold themselves in reference cycles, so that several would pile up
        until Python looks for them; see `quick_collection`.
        """
        self.shelve(model, index, modify=changed)
        if self._on_disk:
            del model
            gc.collect()

    @contextmanager
    def quick_collection(self) -> Iterator[None]:
        """For exposures on disk, which are opened and closed one after another; see `tweakreg.process`."""
        with quick_collection() if self._on_disk else nullcontext():
            yield

    def check_savable(self, endings: Sequence[str]) -> None:
        """Find what keeps exposures from being saved; a file that stays of its kind was saved before.

        Parameters
        ----------
        endings : sequence of str
            Of the results, in the order of the exposures.

        Raises
        ------
        InputError
            It names the exposure and the keyword.
        """
        with self:
            for index, (member, ending) in enumerate(zip(self._members, endings, strict=True)):
                if self.of_files and ending_of(member["expname"]) == ending:
                    continue
                model = self.borrow(index)
                try:
                    if ending == ".fits":
                        mission_of(model).check_savable(model, self.member_path(index))
                finally:
                    self.shelve(model, index, modify=False)

    def temporary_file(self, index: int) -> Path | None:
        """Where a changed exposure is while it is not in use; None if it is in memory or unchanged."""
        return Path(self._temp_filenames[index]) if self._on_disk and index in self._temp_filenames else None

    def _temp_path_for_model(self, model: Any, index: int) -> Path:
        """Without .gz, which datamodels read and do not write."""
        path = Path(super()._temp_path_for_model(model, index))
        path = Path(self._temp_path) / str(index) / path.name  # whatever path the metadata give
        return path.with_suffix("") if path.suffix == ".gz" else path

    def finalize_result(self, step: Any, reference_files_used: list[tuple[str, str]]) -> None:
        """Nothing is added after the step, so exposures on disk need not be opened once more."""

    def _datamodels_open(self, filename: str | Path, **kwargs: Any) -> Any:
        return open_model(filename, **kwargs)

    @classmethod
    def _load_asn(cls, filename: str | Path) -> dict[str, Any]:
        return load_association(filename)

    def _model_to_exptype(self, model: Any) -> str:
        return mission_of(model).exptype(model)

    def _model_to_group_id(self, model: Any) -> str:
        return mission_of(model).group_of(model)

    def _filename_to_group_id(self, filename: str | Path) -> str:
        return group_of_file(filename)

    def _assign_member_to_model(self, model: Any, member: dict[str, Any]) -> None:
        mission_of(model).join(model, member, self._asn)


def _check_kinds(items: list[Any]) -> None:
    """Refuse what is neither all names of files nor all open datamodels."""
    files = sum(isinstance(item, Path) for item in items)
    strange = next((item for item in items if not isinstance(item, Path) and not _is_model(item)), items)
    if strange is not items:
        raise InputError("the list of exposures", "an association or a library among others: give it alone")
    if 0 < files < len(items):
        raise InputError("the list of exposures", "has both files and open datamodels: open all of them, or none")


def _is_model(item: Any) -> bool:
    from stpipe.datamodel import AbstractDataModel

    return isinstance(item, AbstractDataModel)


def open_library(inputs: tuple[Any, ...], *, on_disk: bool, input_dir: str = "") -> ModelLibrary:
    """Open whatever the step was given; open datamodels and libraries are copied.

    Parameters
    ----------
    inputs : tuple
        What `ModelLibrary` takes, another library, or several file names.
    on_disk : bool
        See `ModelLibrary`.
    input_dir : str
        Where files without a folder are, and to which an association mapping is relative.

    Returns
    -------
    ModelLibrary
    """
    items = items_of(inputs)
    alone = [item for item in items if isinstance(item, (AbstractModelLibrary, Mapping)) or _is_association(item)]
    if alone and len(items) > 1:
        raise InputError("the list of exposures", "an association or a library among others: give it alone")
    if alone and isinstance(items[0], AbstractModelLibrary):
        return _copy_of(items[0])
    if alone and isinstance(items[0], Mapping):
        return ModelLibrary(_relative_to(items[0], input_dir), on_disk=on_disk)
    items = [located(item, input_dir) if isinstance(item, Path) else item.copy() for item in items]
    if len(items) == 1 and isinstance(items[0], Path):
        return ModelLibrary(items[0], on_disk=on_disk)
    for number, item in enumerate(items, start=1):
        if _is_model(item):
            mission_of(item).prepare(item, f"exposure{number:04d}")
    return ModelLibrary(items, on_disk=on_disk)


def _is_association(item: Any) -> bool:
    return isinstance(item, Path) and item.suffix.lower() == ".json"


def _copy_of(library: AbstractModelLibrary) -> ModelLibrary:
    """A library of copies, in memory, that knows the association and the files of the first."""
    copies = []
    with library:
        for index in range(len(library)):
            model = library.borrow(index)
            copies.append(model.copy())
            mission_of(copies[-1]).prepare(copies[-1], f"exposure{index + 1:04d}")
            library.shelve(model, index, modify=False)
    copied = ModelLibrary(copies)
    science = [member for member in library._members if str(member["exptype"]).lower() == SCIENCE]
    if library._asn_dir is not None and len(science) == len(copied):
        copied._asn_dir = library._asn_dir
        copied._members = copy.deepcopy(science)
        association = getattr(library, "association", None) or library._asn
        copied.association = copy.deepcopy(dict(association))
        _take_group_ids(copied, copies)
        copied.asn_path = getattr(library, "asn_path", None)
    return copied


def as_given(library: ModelLibrary, inputs: tuple[Any, ...]) -> AbstractModelLibrary:
    """The library, or one of the class that came in where a pipeline's next step takes no other.

    Parameters
    ----------
    library : ModelLibrary
        From `open_library`.
    inputs : tuple
        As they were given there.

    Returns
    -------
    AbstractModelLibrary
        Of romancal's own class for a library of that, with the same datamodels; else `library` itself.
    """
    given = inputs[0] if len(inputs) == 1 else None
    if not isinstance(given, AbstractModelLibrary) or isinstance(given, ModelLibrary):
        return library
    if not any(mission.OWN_LIBRARY for mission in MISSIONS if given.crds_observatory == mission.NAME):
        return library
    alike: AbstractModelLibrary = type(given)([library._loaded_models[index] for index in range(len(library))])
    if library.association is not None:
        alike._asn = copy.deepcopy(library.association)
        alike._asn["products"][0]["members"] = alike._members = library.members
        alike._asn_dir = library._asn_dir
    return alike


def _take_group_ids(library: ModelLibrary, models: list[Any]) -> None:
    """A group that was set in an open datamodel counts, as one in the association does."""
    listed = {member["expname"]: member for member in (library.association or {})["products"][0]["members"]}
    for member, model in zip(library._members, models, strict=True):
        said = getattr(model.meta, "group_id", None)
        if said not in (None, "", member["group_id"]):
            member["group_id"] = str(said)
            listed.get(member["expname"], {})["group_id"] = str(said)


def located(name: str | Path, input_dir: str) -> Path:
    """A bare file name is sought in input_dir, then where it says."""
    path = at_home(name)
    inside = Path(input_dir) / path
    bare = input_dir and path.parent == Path()
    return inside if bare and (exists(inside) or not exists(path)) else path


def _relative_to(association: Mapping[str, Any], input_dir: str) -> dict[str, Any]:
    checked = check_association(association, "the association", Path(input_dir))
    if input_dir:
        for member in checked["products"][0]["members"]:
            member["expname"] = str(Path(input_dir) / member["expname"])
            if member.get("tweakreg_catalog"):
                member["tweakreg_catalog"] = str(Path(input_dir) / member["tweakreg_catalog"])
    return checked
