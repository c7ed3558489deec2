"""Tables in HDF5 and ASDF files, which hold trees of anything."""

from __future__ import annotations

from collections.abc import Mapping
from math import prod
from pathlib import Path
from typing import IO, Any

from astropy.table import Table

from tweakreg.errors import CatalogError
from tweakreg.guards import block_sizes, check_tree, tree_text

#: Bytes of a text, or another value that has no size in the tree.
_WIDEST = 16


def read_asdf(file: IO[bytes], path: Path, rows: int, size: int) -> Table:
    """The table of an ASDF file: the one called data, as astropy writes it, or the only one.

    Parameters
    ----------
    file : file
        Open for reading bytes.
    path : Path
        Its name, for messages.
    rows, size : int
        The most that it may have, and bytes.

    Raises
    ------
    CatalogError
        It has no table, several, or a larger one.
    """
    import asdf
    import asdf.util

    text = tree_text(file)
    check_tree(text)
    file.seek(len(text))
    packed = block_sizes(file)
    file.seek(0)
    longest, total = _extent(asdf.util.load_yaml(file))
    if longest > rows or max(packed, total) > size:
        raise CatalogError(path, f"has more than {rows} rows or {size >> 20} MB: cut it to the field")
    file.seek(0)
    with asdf.open(file, memmap=False, lazy_load=False) as opened:
        tables = {key: each for key, each in opened.tree.items() if isinstance(each, Table)}
        if "data" not in tables and len(tables) != 1:
            raise CatalogError(path, f"holds {len(tables)} tables: save the one that is meant as ECSV")
        return tables.get("data") or next(iter(tables.values()))


def _extent(tree: Any) -> tuple[int, int]:
    """Longest axis and total bytes of all arrays that a tree speaks of; each node counts once."""
    longest, total, seen, nodes = 0, 0, set(), [tree]
    while nodes:
        node = nodes.pop()
        if not isinstance(node, (Mapping, list)) or id(node) in seen:
            continue
        seen.add(id(node))
        if isinstance(node, Mapping) and isinstance(node.get("shape"), list):
            shape = [abs(each) for each in node["shape"] if isinstance(each, int)]
            kind = node.get("datatype")
            # A text has a length; fields of records stand beside each other.
            widths = [each for each in kind if isinstance(each, int)] if isinstance(kind, list) else []
            fields = sum(isinstance(each, Mapping) for each in kind) if isinstance(kind, list) else 0
            longest = max(longest, *shape, 0)
            total += prod(shape) * max(4 * max(widths, default=0), _WIDEST * fields, _WIDEST)
        nodes.extend(node.values() if isinstance(node, Mapping) else node)
    return longest, total


def read_hdf5(file: IO[bytes], path: Path, rows: int, size: int) -> Table:
    """The only table of an HDF5 file, which astropy, h5py or PyTables wrote.

    Parameters
    ----------
    file : file
        Open for reading bytes.
    path : Path
        Its name, for messages.
    rows, size : int
        The most that it may have, and bytes.

    Raises
    ------
    CatalogError
        It has no table, several, or a larger one; or there is no h5py to read it.
    """
    try:
        import h5py
    except ImportError as error:
        raise CatalogError(path, "is an HDF5 file: install h5py to read it, or save it as ECSV") from error
    tables = []

    def add(name: str, node: Any) -> None:
        if isinstance(node, h5py.Dataset) and node.dtype.names:
            tables.append(name)

    with h5py.File(file, "r") as opened:
        opened.visititems(add)
        if len(tables) != 1:
            raise CatalogError(path, f"holds {len(tables)} tables: save the one that is meant as ECSV")
        found = opened[tables[0]]
        if found.size > rows or found.size * found.dtype.itemsize > size:
            raise CatalogError(path, f"has more than {rows} rows or {size >> 20} MB: cut it to the field")
        return Table.read(opened, path=tables[0], format="hdf5")
