"""What the house measures: files, functions, folders, names, imports. One table, to compare two commits by.

python tools/house.py [SRC]        # the package's folder, src/penstock when absent
"""

from __future__ import annotations

import ast
import statistics
import sys
from collections import Counter, defaultdict
from collections.abc import Iterator
from pathlib import Path

Function = ast.FunctionDef | ast.AsyncFunctionDef


def modules(package: Path) -> dict[str, ast.Module]:
    found = {}
    for path in sorted(package.rglob("*.py")):
        parts = path.relative_to(package.parent).with_suffix("").parts
        found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = ast.parse(path.read_text())
    return found


def imports(name: str, is_package: bool, tree: ast.Module, known: set[str]) -> Iterator[tuple[str, bool]]:
    """Modules of the package that this one imports, and whether that is done when it is imported itself."""
    at_import = {id(node) for node in _eager(tree)}
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom):
            base = name.split(".") if is_package else name.split(".")[:-1]
            start = base[: len(base) - node.level + 1] if node.level else []
            target = ".".join([*start, *([node.module] if node.module else [])])
            for alias in node.names:
                whole = f"{target}.{alias.name}"
                if (there := whole if whole in known else target) in known:
                    yield there, id(node) in at_import


def _eager(tree: ast.Module) -> Iterator[ast.stmt]:
    for node in tree.body:
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            continue
        yield node


def circles(arrows: dict[str, set[str]]) -> int:
    """How many groups of modules import each other (strongly connected components of more than one)."""
    order: list[str] = []
    seen: set[str] = set()

    def visit(start: str, to: dict[str, set[str]], out: list[str]) -> None:
        stack = [(start, iter(sorted(to.get(start, ()))))]
        seen.add(start)
        while stack:
            here, rest = stack[-1]
            step = next((each for each in rest if each not in seen), None)
            if step is None:
                out.append(here)
                stack.pop()
            else:
                seen.add(step)
                stack.append((step, iter(sorted(to.get(step, ())))))

    for each in sorted(arrows):
        if each not in seen:
            visit(each, arrows, order)
    back: dict[str, set[str]] = defaultdict(set)
    for one, others in arrows.items():
        for other in others:
            back[other].add(one)
    seen.clear()
    groups = 0
    for each in reversed(order):
        if each not in seen:
            group: list[str] = []
            visit(each, back, group)
            groups += len(group) > 1
    return groups


def lengths(trees: dict[str, ast.Module]) -> list[int]:
    return sorted(
        (node.end_lineno or node.lineno) - node.lineno + 1
        for tree in trees.values()
        for node in ast.walk(tree)
        if isinstance(node, Function)
    )


def main(package: Path) -> None:
    trees = modules(package)
    files = {path: len(path.read_text().splitlines()) for path in package.rglob("*.py")}
    folders = Counter(path.parent for path in files if path.name != "__init__.py")
    classes = Counter(n.name for tree in trees.values() for n in ast.walk(tree) if isinstance(n, ast.ClassDef))
    eager: dict[str, set[str]] = defaultdict(set)
    every: dict[str, set[str]] = defaultdict(set)
    for name, tree in trees.items():
        is_package = (package.parent / Path(*name.split("."))).is_dir()
        for target, at_import in imports(name, is_package, tree, set(trees)):
            if target != name:
                every[name].add(target)
                if at_import:
                    eager[name].add(target)
    functions = lengths(trees)
    row = statistics.quantiles(functions, n=10)
    print("| measure | found |\n|---|---|")
    for what, found in (
        ("files, lines", f"{len(files)}, {sum(files.values()):,}"),
        ("circles of imports: when imported, and with those in functions", f"{circles(eager)}, {circles(every)}"),
        ("lines of a function: median, p90, longest", f"{statistics.median(functions):g}, {row[8]:g}, {functions[-1]}"),
        ("lines of a file: median, longest", f"{statistics.median(files.values()):g}, {max(files.values())}"),
        ("folders of more than eight files", f"{sum(n > 8 for n in folders.values())} of {len(folders)}"),
        ("names of classes with several meanings", f"{sum(n > 1 for n in classes.values())} of {len(classes)}"),
    ):
        print(f"| {what} | {found} |")


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else "src/penstock"))
