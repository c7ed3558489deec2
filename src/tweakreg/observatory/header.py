"""What a FITS header can hold: printable ASCII, and numbers that are finite."""

from __future__ import annotations

import math
from collections.abc import Iterator
from functools import cache
from numbers import Real
from typing import Any
from urllib.parse import quote

from tweakreg.errors import InputError

#: Names that we write ourselves, with what `held` makes of them.
_OURS = ("meta.asn.pool_name", "meta.asn.table_name", "meta.tweakreg_catalog")
#: Written anew with each file.
_RENEWED = ("meta.filename",)


def holds(value: object) -> bool:
    """Whether a FITS header can hold a value."""
    if isinstance(value, str):
        return value.isascii() and value.isprintable()
    return not isinstance(value, Real) or math.isfinite(value)


def held(name: str) -> str:
    """A name as a header can hold it: others are percent-encoded, as in a URL."""
    return name if holds(name) else quote(name, safe="/ :+=@,~()")


def encode_names(model: Any) -> None:
    """Make names of files in a datamodel such that a header can hold them."""
    for place in _OURS:
        value = _value(model, place)
        if isinstance(value, str) and not holds(value):
            model[place] = held(value)


def check_header(model: Any, name: object) -> None:
    """Find what would stop a datamodel from being written as FITS; no pixel is read.

    Parameters
    ----------
    model : datamodel
        Not changed.
    name : object
        For the message.

    Raises
    ------
    InputError
        It names the keyword.
    """
    for what, value in _cards(model):
        if not holds(value):
            said = repr(value) if len(repr(value)) < 60 else f"{repr(value)[:60]}..."
            remedy = "correct it, or set output_ext to .asdf"
            raise InputError(name, f"{what} = {said}: a FITS header cannot hold it; {remedy}")


def _cards(model: Any) -> Iterator[tuple[str, Any]]:
    """What would be written to headers: each value and what it is."""
    kind: Any = type(model)
    for place, keyword in _keywords(kind):
        if place not in (*_OURS, *_RENEWED):
            yield f"keyword {keyword} ({place})", _value(model, place)
    for hdu, parts in (model.instance.get("extra_fits") or {}).items():
        for card in parts.get("header", ()):
            for value in card:
                yield f"keyword {card[0]} of extension {hdu}", value
    history = model.instance.get("history") or []
    for entry in history.get("entries", ()) if hasattr(history, "get") else history:
        yield "the history", str(entry["description"] if hasattr(entry, "get") else entry)


@cache
def _keywords(kind: Any) -> list[tuple[str, str]]:
    """Each place in the metadata of a kind of datamodel that has a keyword."""
    from stdatamodels.schema import walk_schema

    found = []

    def look(schema: Any, path: list[Any], *_: Any) -> None:
        if "fits_keyword" in schema and "items" not in path:
            found.append((".".join(map(str, path)), str(schema["fits_keyword"])))

    walk_schema(kind().schema, look)
    return found


def _value(model: Any, place: str) -> Any:
    """A value in the metadata; None where there is none."""
    node: Any = model.instance
    for part in place.split("."):
        node = node.get(part) if hasattr(node, "get") else None
    return node
