"""From ``app.py``, ``app.py:name`` or ``module:name`` to the App in it. This executes the user's file."""

from __future__ import annotations

import importlib
import importlib.util
import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from types import ModuleType, TracebackType

from ..errors import DeclarationError
from .app import App


@dataclass(frozen=True, slots=True)
class AppFile:
    """``target`` loads the same app again, from any directory when it is a file; ``code`` is the digest of its code."""

    app: App
    target: str
    code: str


def load(target: str) -> AppFile:
    """Raises ``DeclarationError``: no such file, a syntax error, an import that failed, or not exactly one App."""
    source, variable = _split(target)
    if source.endswith(".py"):
        path = Path(source).resolve()
        module, stem = _from_file(path), str(path)
    else:
        module, stem = _from_module(source), source
    name, app = _app_in(module, variable, source)
    return AppFile(app, f"{stem}:{name}", code_digest(Path(module.__file__ or source)))


def code_digest(file: Path) -> str:
    """SHA-256, in hex, over an app's file and the modules beside it (and below) that are imported by now."""
    digest = sha256()
    for path in own_files(file.resolve()):
        try:
            content = path.read_bytes()
        except FileNotFoundError:  # moved since it was imported; what is left says what runs
            continue
        digest.update(f"{path.relative_to(file.resolve().parent)}\0{len(content)}\0".encode())
        digest.update(content)
    return digest.hexdigest()


def own_files(file: Path) -> list[Path]:
    """An app's file and the modules beside it (and below) that are imported by now, sorted."""
    known = {file}
    for module in list(sys.modules.values()):
        name = getattr(module, "__file__", None)
        if not name or not name.endswith(".py"):
            continue
        path = Path(name).resolve()
        inside = path.is_relative_to(file.parent)
        installed = inside and "site-packages" in path.relative_to(file.parent).parts
        if inside and not installed:
            known.add(path)
    return sorted(known)


def _split(target: str) -> tuple[str, str]:
    """A path may hold a colon itself, so only the last one counts."""
    if target.endswith(".py"):
        return target, ""
    source, _, variable = target.rpartition(":")
    return (source, variable) if source else (target, "")


def _from_file(path: Path) -> ModuleType:
    if not path.is_file():
        raise DeclarationError(f"{path}: no such file; give the path of the file that declares the App")
    name = _module_name(path)
    if name in sys.modules:
        return sys.modules[name]
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None and spec.loader is not None  # the name ends in .py
    module = importlib.util.module_from_spec(spec)
    if str(path.parent) not in sys.path:
        sys.path.insert(0, str(path.parent))
    sys.modules[name] = module  # dataclasses look their module up
    try:
        with _failures_explained(str(path), path.parent):
            spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[name]
        raise
    return module


def _module_name(path: Path) -> str:
    """The file's own, as the files beside it import it; another where an installed module has that name."""
    there = sys.modules.get(path.stem)
    if there is None:
        found = importlib.util.find_spec(path.stem) if path.stem.isidentifier() else None
        taken = found is not None and found.origin is not None and Path(found.origin).resolve() != path
    else:
        taken = Path(getattr(there, "__file__", None) or "").resolve() != path
    return f"penstock_app_{sha256(str(path).encode()).hexdigest()[:12]}" if taken else path.stem


def _from_module(name: str) -> ModuleType:
    if not all(part.isidentifier() for part in name.split(".")):
        raise DeclarationError(f"{name!r} is neither a file nor a module; write app.py, app.py:NAME or module:NAME")
    here = str(Path.cwd())
    if here not in sys.path:
        sys.path.insert(0, here)
    with _failures_explained(name, Path(here)):
        return importlib.import_module(name)


@contextmanager
def _failures_explained(target: str, folder: Path) -> Iterator[None]:
    """Whatever importing raises, as a DeclarationError that shows the user's own lines."""
    try:
        yield
    except (DeclarationError, KeyboardInterrupt):
        raise
    except SyntaxError as error:
        # Without a line when the file is no text at all, such as one with a NUL byte.
        place = f"{error.filename}:{error.lineno}" if error.lineno else target
        line = f": {error.text.strip()}" if error.text else ""
        raise DeclarationError(f"{place}: {error.msg}{line}") from None
    except BaseException as error:  # the file may call sys.exit
        own = "".join(traceback.format_list(_own_frames(error.__traceback__, folder)))
        what = "".join(traceback.format_exception_only(error)).strip()
        raise DeclarationError(f"{target} cannot be imported: {what}\n{own}".rstrip()) from None


def _own_frames(trace: TracebackType | None, folder: Path) -> list[traceback.FrameSummary]:
    return [frame for frame in traceback.extract_tb(trace) if Path(frame.filename).is_relative_to(folder)]


def _app_in(module: ModuleType, variable: str, source: str) -> tuple[str, App]:
    apps = {name: value for name, value in vars(module).items() if isinstance(value, App)}
    if variable:
        if variable in apps:
            return variable, apps[variable]
        found = f"; it has {', '.join(apps)}" if apps else ""
        raise DeclarationError(f"{source} has no App called {variable!r}{found}")
    if not apps:
        raise DeclarationError(f"{source} declares no App; write: app = ps.App('name')")
    if len({id(app) for app in apps.values()}) > 1:
        choices = " or ".join(f"{source}:{name}" for name in apps)
        raise DeclarationError(f"{source} declares several Apps; say which: {choices}")
    return next(iter(apps.items()))
