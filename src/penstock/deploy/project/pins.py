"""The distributions that an image needs, in the versions that are installed here."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from importlib.metadata import Distribution, PackageNotFoundError, distribution, packages_distributions

_REQUIREMENT = re.compile(r"([A-Za-z0-9._-]+)\s*(?:\[([^\]]*)\])?([^;]*);?(.*)", re.DOTALL)
_EXTRA = re.compile(r"extra\s*==\s*['\"]([^'\"]+)['\"]")


@dataclass(frozen=True, slots=True)
class Pins:
    """``lines``: as pip has requirements, sorted. ``loose``: the lines among them that are not installed here, so that
    nobody knows the version. ``local``: those that were not installed from an index, so that pip may not find them."""

    lines: tuple[str, ...]
    loose: tuple[str, ...]
    local: tuple[str, ...]


def pins_of(roots: Iterable[str]) -> Pins:
    """Of these requirements, such as ``penstock-ml[onnx]``, and of all that they need in turn.

    What a marker leaves away on this machine and is not installed is left away; an extra that is asked for is not.
    """
    exact, loose, local, done = {}, set[str](), set[str](), set[tuple[str, str]]()
    waiting = [(root, True) for root in roots]
    while waiting:
        text, is_wanted = waiting.pop()
        name, extras, bounds, _ = _parts(text)
        found = _installed(name)
        if found is None:
            if is_wanted:
                loose.add(f"{name}{bounds}")
            continue
        exact[name] = f"{found.metadata['Name']}=={found.version}"
        if found.read_text("direct_url.json") is not None:
            local.add(exact[name])
        for extra in ("", *extras):
            if (name, extra) not in done:
                done.add((name, extra))
                waiting += [(each, bool(extra)) for each in found.requires or () if extra in _extras_of(each)]
    lines = sorted({*exact.values(), *loose}, key=str.lower)
    return Pins(tuple(lines), tuple(sorted(loose)), tuple(sorted(local)))


def distributions_of(modules: Iterable[str]) -> tuple[list[str], list[str]]:
    """The distributions that these modules are from, and the modules that no distribution has."""
    modules = sorted(modules)
    known = packages_distributions() if modules else {}  # which reads what every distribution here is made of
    names = {name for module in modules for name in known.get(module, ())}
    return sorted(names), [module for module in modules if module not in known]


def _installed(name: str) -> Distribution | None:
    try:
        return distribution(name)
    except PackageNotFoundError:
        return None


def _parts(text: str) -> tuple[str, list[str], str, str]:
    """Name, extras, versions and marker of a requirement."""
    found = _REQUIREMENT.match(text.strip())
    assert found is not None, text  # pip has read it before
    name, extras, bounds, marker = (part or "" for part in found.groups())
    return _normal(name), [_normal(extra) for extra in extras.split(",") if extra.strip()], bounds.strip(" ()"), marker


def _extras_of(text: str) -> list[str]:
    """Those that ask for a requirement; the empty one stands for none."""
    return [_normal(extra) for extra in _EXTRA.findall(_parts(text)[3])] or [""]


def _normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name.strip()).lower()
