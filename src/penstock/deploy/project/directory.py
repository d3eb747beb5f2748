"""A project's directory, written whole or not at all.

What is new lies beside what is there until it is complete, and then takes its name. The user's own files are written
with the directory; `generated/` is made anew each time, unless somebody has changed it by hand.
"""

from __future__ import annotations

import fcntl
import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from ...errors import CannotStart
from .manifest import MANIFEST, digest_of, manifest_of, read_manifest, to_text

GENERATED = "generated"


@dataclass(frozen=True, slots=True)
class ProjectFiles:
    """Texts by their paths: the ``own`` from the project's directory on, the ``generated`` from `generated/` on."""

    app: str
    target: str
    own: Mapping[str, str]
    generated: Mapping[str, str]
    access: str = ""


def access_of(directory: Path) -> str:
    """With which access the project was written; empty where there is none. Raises as ``read_manifest`` does."""
    folder = directory / GENERATED
    return read_manifest(folder).access if (folder / MANIFEST).is_file() else ""


def write_project(directory: Path, files: ProjectFiles) -> bool:
    """True where there was no project before, and the user's own files were written too.

    Raises ``CannotStart``, and has changed nothing then: the directory is not a project of this app and target,
    somebody changed what is generated, it cannot be written.
    """
    directory = directory.resolve()
    try:
        with _alone(directory.parent):
            _finish(directory)
            if is_new := not (directory / GENERATED / MANIFEST).is_file():
                _make(directory, files)
            else:
                _check_unchanged(directory, files)
                _replace(directory, files)
            return is_new
    except OSError as error:
        raise CannotStart(f"--out {directory} cannot be written: {error}") from None


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """One at a time in a folder; the lock ends with the process."""
    folder.mkdir(parents=True, exist_ok=True)
    opened = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(opened, fcntl.LOCK_EX)
        yield
    finally:
        os.close(opened)


def _finish(directory: Path) -> None:
    """What a process that was killed left: `generated/` lies where it was put, and takes its name again."""
    put_away, generated = directory / _hidden(GENERATED, "old"), directory / GENERATED
    if put_away.exists() and not generated.exists():
        put_away.rename(generated)


def _make(directory: Path, files: ProjectFiles) -> None:
    if directory.is_dir() and any(directory.iterdir()):
        raise CannotStart(
            f"--out {directory} holds something else, and no {GENERATED}/{MANIFEST}: name a directory that is new "
            "or empty"
        )
    if directory == Path.cwd():
        raise CannotStart(f"--out {directory} is where you are: give its name from the directory above")
    new = directory.with_name(_hidden(directory.name, "new"))
    with _staged(new):
        _write(new, files.own)
        _write_generated(new / GENERATED, files)
        new.rename(directory)


def _replace(directory: Path, files: ProjectFiles) -> None:
    generated = directory / GENERATED
    new, old = (directory / _hidden(GENERATED, which) for which in ("new", "old"))
    with _staged(new):
        _write_generated(new, files)
        shutil.rmtree(old, ignore_errors=True)
        generated.rename(old)
        try:
            new.rename(generated)
        except BaseException:
            old.rename(generated)
            raise
    shutil.rmtree(old, ignore_errors=True)


@contextmanager
def _staged(new: Path) -> Iterator[None]:
    shutil.rmtree(new, ignore_errors=True)
    try:
        yield
    finally:
        shutil.rmtree(new, ignore_errors=True)


def _hidden(name: str, which: str) -> str:
    return f".{name}.{which}"


def _write_generated(folder: Path, files: ProjectFiles) -> None:
    _write(folder, files.generated)
    _write(folder, {MANIFEST: to_text(manifest_of(files.app, files.target, files.generated, files.access))})


def _write(folder: Path, texts: Mapping[str, str]) -> None:
    for name, text in texts.items():
        file = folder / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(text.encode())


def _check_unchanged(directory: Path, files: ProjectFiles) -> None:
    folder = directory / GENERATED
    known = read_manifest(folder)
    if (known.app, known.target) != (files.app, files.target):
        raise CannotStart(
            f"--out {directory} is of the app '{known.app}' on {known.target}, and not of '{files.app}' on "
            f"{files.target}: name another directory"
        )
    for file in sorted(path for path in folder.rglob("*") if not path.is_dir()):
        name = file.relative_to(folder).as_posix()
        if name == MANIFEST:
            continue
        if name not in known.files:
            raise CannotStart(f"{file} is none of Penstock's, and {GENERATED}/ is written anew each time: move it out")
        data = file.read_bytes()
        # What would be written anyhow is no change of anybody's.
        if digest_of(data) != known.files[name] and data != files.generated.get(name, "").encode():
            raise CannotStart(
                f"{file} was changed by hand: {GENERATED}/ is written anew each time. what you want "
                "otherwise goes into __main__.py, image/ or the app; delete the file to have it written anew"
            )
