"""Numbers about the code, to see where it is hard to live in.

    python tests/house.py [src/tweakreg]

Files and lines; the longest functions and those with most arguments; where something is read behind the back of the
room that knows it; what stands in a docstring's list without a word about it.
"""

from __future__ import annotations

import ast
import re
import sys
from collections.abc import Iterator
from pathlib import Path

SRC = Path(__file__).parent.parent / "src" / "tweakreg"

#: Rooms that may know a datamodel's metadata, and a tree's names.
KNOWS_MODELS = ("observatory", "simulate")
KNOWS_TREES = ("results",)

_META = re.compile(r"\b(?:model|exposure|image|to_image|from_image)\.meta\.")
_TREE = re.compile(
    r"""\b(?:tree|stage|stages|fit|result)s?\w*\[\s*["'](?:stages|outcome|status|rms|name|group)["']\]"""
)
_TREE_TEMPLATE = re.compile(r"\btrees?\b")
_SECTION = re.compile(r"^(Parameters|Attributes)\n-+\n", re.MULTILINE)


def sources(src: Path = SRC) -> Iterator[tuple[Path, str]]:
    """Each source file and its text."""
    for path in sorted(src.rglob("*")):
        if path.suffix in (".py", ".html") and "pars" not in path.parts and "schemas" not in path.parts:
            yield path.relative_to(src), path.read_text(encoding="utf-8")


def functions(src: Path = SRC) -> Iterator[tuple[str, ast.FunctionDef, int]]:
    """Each function with its place and the lines of its body, without the docstring."""
    for path, text in sources(src):
        if path.suffix != ".py":
            continue
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.FunctionDef):
                body = node.body[1:] if ast.get_docstring(node) and len(node.body) > 1 else node.body
                yield f"{path}:{node.name}", node, (node.end_lineno or 0) - body[0].lineno + 1


def n_arguments(node: ast.FunctionDef) -> int:
    """Arguments that a caller has to know, without self."""
    every = node.args.posonlyargs + node.args.args + node.args.kwonlyargs
    return sum(each.arg not in ("self", "cls") for each in every)


def lines_with(pattern: re.Pattern[str], allowed: tuple[str, ...], src: Path = SRC) -> list[str]:
    """Lines of code outside some rooms that match; comments and docstrings do not count."""
    found = []
    for path, text in sources(src):
        if path.parts[0] in allowed or path.suffix != ".py":
            continue
        silent = _words(text)
        for number, line in enumerate(text.splitlines(), start=1):
            if number not in silent and pattern.search(line.split("#")[0]):
                found.append(f"{path}:{number}: {line.strip()}")
    return found


def _words(text: str) -> set[int]:
    """Numbers of the lines that are docstrings."""
    lines: set[int] = set()
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, (ast.Module, ast.ClassDef, ast.FunctionDef)) and ast.get_docstring(node):
            lines |= set(range(node.body[0].lineno, (node.body[0].end_lineno or 0) + 1))
    return lines


def meta_above(src: Path = SRC) -> list[str]:
    """Lines that touch a datamodel's metadata above the observatory."""
    return lines_with(_META, KNOWS_MODELS, src)


def trees_outside(src: Path = SRC) -> list[str]:
    """Lines that read the tree of a result by name outside the room that makes it."""
    templates = [
        f"{path}:{number}: {line.strip()[:60]}"
        for path, text in sources(src)
        if path.suffix == ".html"
        for number, line in enumerate(text.splitlines(), start=1)
        if _TREE_TEMPLATE.search(line)
    ]
    return lines_with(_TREE, (*KNOWS_TREES, "simulate"), src) + templates


def entries(src: Path = SRC) -> Iterator[tuple[str, bool]]:
    """Each entry of a Parameters or Attributes list, and whether a word is said about it."""
    for path, text in sources(src):
        if path.suffix != ".py":
            continue
        for node in ast.walk(ast.parse(text)):
            if not isinstance(node, (ast.ClassDef, ast.FunctionDef)):
                continue
            parts = _SECTION.split(ast.get_docstring(node) or "")[1:]
            for body in parts[1::2]:
                lines = re.split(r"\n\w[\w ]+\n-+\n", body)[0].rstrip().splitlines()
                heads = [i for i, line in enumerate(lines) if line and not line.startswith(" ")]
                for head, after in zip(heads, [*heads[1:], len(lines)], strict=True):
                    yield f"{path}:{node.name}: {lines[head]}", after > head + 1


def main() -> None:
    """Print all numbers."""
    src = Path(sys.argv[1]) if len(sys.argv) > 1 else SRC
    texts = list(sources(src))
    print(f"{len(texts)} files, {sum(text.count(chr(10)) for _, text in texts)} lines")
    every = sorted(functions(src), key=lambda each: -each[2])
    print("longest functions:", ", ".join(f"{place} {n}" for place, _, n in every[:6]))
    print(
        f"functions longer than 40 lines: {sum(n > 40 for _, _, n in every)}, than 30: {sum(n > 30 for *_, n in every)}"
    )
    many = [(place, n_arguments(node)) for place, node, _ in every if n_arguments(node) > 6]
    print(f"functions with more than 6 arguments: {len(many)}:", ", ".join(f"{place} {n}" for place, n in many))
    for what, found in (
        ("lines above observatory/ that touch a datamodel's metadata", meta_above(src)),
        ("lines outside results/ that read the tree by name", trees_outside(src)),
        ("entries without explanation", [place for place, said in entries(src) if not said]),
    ):
        print(f"{what}: {len(found)}")
        print(*(f"    {line}" for line in found[:8]), sep="\n")
    print(f"entries: {len(list(entries(src)))}")


if __name__ == "__main__":
    main()
