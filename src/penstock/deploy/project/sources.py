"""What an app's own code imports: the files beside it, and the modules that are installed."""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path

from ...errors import DeclarationError


def imported(files: Iterable[Path], folder: Path) -> tuple[list[Path], set[str]]:
    """The Python files in ``folder`` that these and those that they import are made of, sorted; and the outermost names
    of all other modules but those of Python itself. Also what is imported only once a function is called.

    Raises ``DeclarationError`` for a file that is no Python.
    """
    waiting, found, outside = [file.resolve() for file in files], set[Path](), set[str]()
    while waiting:
        file = waiting.pop()
        if file in found:
            continue
        found.add(file)
        for base, name in _names(file, folder):
            own = [file for file in _files(base, name) if file.is_relative_to(folder)]
            waiting += own
            if not own and base == folder:
                outside.add(name.partition(".")[0])
    return sorted(found), outside - sys.stdlib_module_names


def _names(file: Path, folder: Path) -> Iterator[tuple[Path, str]]:
    """Each imported module, dotted, and the folder that it is looked up in."""
    try:
        tree = ast.parse(file.read_bytes(), str(file))
    except SyntaxError as error:
        raise DeclarationError(
            f"{file}:{error.lineno or 1}: {error.msg}; an app's image has it, for it is imported"
        ) from None
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((folder, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = folder if not node.level else file.parents[node.level - 1]
            for alias in node.names:
                yield base, ".".join(filter(None, (node.module, alias.name)))


def _files(base: Path, name: str) -> Iterator[Path]:
    """Those that an import of ``a.b.c`` executes: of each package on the way its own, and the module's. The last name
    may be a value in it."""
    place = base
    for part in name.split("."):
        if (module := place / f"{part}.py").is_file():
            yield module.resolve()
            return
        place = place / part
        if not place.is_dir():
            return
        if (package := place / "__init__.py").is_file():
            yield package.resolve()
