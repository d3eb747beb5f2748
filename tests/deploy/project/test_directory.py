"""A project's directory: whole or not at all, with the user's own files untouched."""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from penstock.deploy.project import directory
from penstock.deploy.project.directory import ProjectFiles, write_project
from penstock.errors import CannotStart

FILES = ProjectFiles(
    "shop", "azure", {"main.py": "mine\n", "image/a": "a\n"}, {"plan.json": "{}\n", "Dockerfile": "1\n"}
)
CHANGED = replace(
    FILES, own={"main.py": "other\n"}, generated={"plan.json": "{1}\n", "Dockerfile": "2\n", "new": "é\n"}
)


def tree(folder: Path) -> dict[str, str]:
    """The text of each file in it by its path, but for the manifest's."""
    files = sorted(path for path in folder.rglob("*") if path.is_file() and path.name != "manifest.json")
    return {path.relative_to(folder).as_posix(): path.read_text() for path in files}


def of(files: ProjectFiles, own: ProjectFiles = FILES) -> dict[str, str]:
    return dict(sorted({**own.own, **{f"generated/{name}": text for name, text in files.generated.items()}}.items()))


@pytest.fixture
def out(tmp_path: Path) -> Path:
    return tmp_path / "deploy" / "azure"


def test_it_is_written_and_written_again(out: Path) -> None:
    assert write_project(out, FILES) and tree(out) == of(FILES)
    (out / "main.py").write_text("changed by its owner\n")
    (out / "Pulumi.prod.yaml").write_text("more\n")
    (out / "image" / "a").unlink()
    assert not write_project(out, CHANGED)
    mine = {"main.py": "changed by its owner\n", "Pulumi.prod.yaml": "more\n"}
    assert tree(out) == dict(sorted({**of(CHANGED, replace(FILES, own=mine))}.items()))
    assert [path.name for path in out.parent.iterdir()] == ["azure"], "nothing is left beside it"


def test_an_empty_directory_is_taken(out: Path) -> None:
    out.mkdir(parents=True)
    assert write_project(out, FILES) and tree(out) == of(FILES)


def test_where_one_stands_is_refused(out: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another directory takes its place, and the shell would be nowhere."""
    out.mkdir(parents=True)
    monkeypatch.chdir(out)
    with pytest.raises(CannotStart, match="is where you are"):
        write_project(Path(), FILES)
    assert list(out.iterdir()) == []


@pytest.mark.parametrize("name", ["a.txt", "generated/plan.json", ".git/HEAD"])
def test_a_directory_of_something_else_is_refused(out: Path, name: str) -> None:
    (out / name).parent.mkdir(parents=True)
    (out / name).write_text("other")
    with pytest.raises(
        CannotStart, match=r"holds something else, and no generated/manifest\.json: name a directory that"
    ):
        write_project(out, FILES)
    assert tree(out) == {name: "other"}


@pytest.mark.parametrize(
    ("other", "said"),
    [
        (replace(FILES, app="fraud"), "is of the app 'shop' on azure, and not of 'fraud' on azure"),
        (replace(FILES, target="kubernetes"), "is of the app 'shop' on azure, and not of 'shop' on kubernetes"),
    ],
)
def test_another_apps_or_targets_is_refused(out: Path, other: ProjectFiles, said: str) -> None:
    write_project(out, FILES)
    with pytest.raises(CannotStart, match=said):
        write_project(out, replace(other, generated=CHANGED.generated))
    assert tree(out) == of(FILES)


@pytest.mark.parametrize("name", FILES.generated)
def test_what_was_changed_by_hand_is_refused_until_it_is_gone(out: Path, name: str) -> None:
    write_project(out, FILES)
    (out / "generated" / name).write_text("by hand")
    with pytest.raises(
        CannotStart, match=rf"generated/{name} was changed by hand: .*delete the file to have it written"
    ):
        write_project(out, CHANGED)
    assert tree(out) == {**of(FILES), f"generated/{name}": "by hand"}
    (out / "generated" / name).unlink()
    write_project(out, CHANGED)
    assert tree(out) == of(CHANGED)


def test_what_would_be_written_anyhow_is_no_change(out: Path) -> None:
    write_project(out, FILES)
    (out / "generated" / "Dockerfile").write_text(CHANGED.generated["Dockerfile"])
    write_project(out, CHANGED)
    assert tree(out) == of(CHANGED)


def test_a_file_of_somebody_else_among_the_generated_is_refused(out: Path) -> None:
    write_project(out, FILES)
    (out / "generated" / "notes").mkdir()
    (out / "generated" / "notes" / "a.txt").write_text("mine")
    with pytest.raises(CannotStart, match=r"generated/notes/a\.txt is none of Penstock's.*move it out"):
        write_project(out, CHANGED)
    assert tree(out) == of(FILES) | {"generated/notes/a.txt": "mine"}


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda found: "", "damaged"),
        (lambda found: "[]", "damaged"),
        (lambda found: json.dumps(found)[:-9], "damaged"),
        (lambda found: json.dumps({**found, "files": {"Dockerfile": 5}}), "damaged"),
        (lambda found: json.dumps({**found, "format": 2}), "written by a later version of Penstock"),
    ],
)
def test_a_manifest_that_cannot_be_read_is_told(out: Path, change: Callable[[object], str], said: str) -> None:
    write_project(out, FILES)
    manifest = out / "generated" / "manifest.json"
    manifest.write_text(change(json.loads(manifest.read_text())))
    with pytest.raises(CannotStart, match=rf"generated/manifest\.json .*{said}.*into another --out"):
        write_project(out, CHANGED)
    assert tree(out) == of(FILES)


def test_what_cannot_be_written_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    for out in (tmp_path / "file", tmp_path / "file" / "azure"):
        with pytest.raises(CannotStart, match=r"--out .*file.* cannot be written: "):
            write_project(out, FILES)
    assert tree(tmp_path) == {"file": ""} and len(list(tmp_path.iterdir())) == 1


class Killed(BaseException):
    """The process ends here; nothing that it would have done on its way out is done."""


def killed_at(step: int, out: Path, files: ProjectFiles, monkeypatch: pytest.MonkeyPatch) -> bool:
    """Whether it was killed before that change of the file system, counted from 0."""
    done = 0

    def counted(change: Callable[..., object]) -> Callable[..., object]:
        def step_or_die(*arguments: object, **options: object) -> object:
            nonlocal done
            if done >= step:
                raise Killed
            done += 1
            return change(*arguments, **options)

        return step_or_die

    with monkeypatch.context() as patched:
        for owner, name in ((os, "rename"), (os, "mkdir"), (os, "rmdir"), (os, "unlink"), (Path, "write_bytes")):
            patched.setattr(owner, name, counted(getattr(owner, name)))
        try:
            write_project(out, files)
        except Killed:
            return True
    return False


def check_kills(out: Path, monkeypatch: pytest.MonkeyPatch, *, is_new: bool) -> int:
    """Killed before each change in turn: a reader finds what was or what is to be, and the next time all is well."""
    step = 0
    before = {} if is_new else of(FILES)
    while True:
        here = out.with_name(f"{'new' if is_new else 'again'}-{step}")
        if not is_new:
            write_project(here, FILES)
        if not killed_at(step, here, CHANGED, monkeypatch):
            return step
        own = CHANGED if is_new else FILES
        seen = {name: text for name, text in tree(here).items() if not name.startswith(".")} if here.exists() else {}
        between = not is_new and seen == FILES.own  # what was generated has lost its name, and nothing has it yet
        whole = seen in (before, of(CHANGED, own)) or between
        assert whole, f"half of it after {step} steps: {seen}"
        write_project(here, CHANGED)
        assert tree(here) == of(CHANGED, own), f"it does not go on after {step} steps"
        step += 1


def test_a_process_that_is_killed_leaves_the_old_or_the_new(out: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert check_kills(out, monkeypatch, is_new=True) > 5
    assert check_kills(out, monkeypatch, is_new=False) > 8


def test_one_that_writes_in_place_is_found(out: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def in_place(to: Path, files: ProjectFiles) -> None:
        directory._write_generated(to / "generated", files)

    monkeypatch.setattr(directory, "_replace", in_place)
    with pytest.raises(AssertionError, match="half of it after"):
        check_kills(out, monkeypatch, is_new=False)


def test_one_that_does_not_look_what_was_left_is_found(out: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(directory, "_finish", lambda to: None)
    with pytest.raises(CannotStart, match="holds something else"):
        check_kills(out, monkeypatch, is_new=False)


def test_two_at_once_are_one_after_the_other(out: Path) -> None:
    threads = [threading.Thread(target=write_project, args=(out, files)) for files in (FILES, CHANGED) * 4]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    generated = {f"generated/{name}": text for name, text in FILES.generated.items()}
    again = {f"generated/{name}": text for name, text in CHANGED.generated.items()}
    assert {name: text for name, text in tree(out).items() if name.startswith("generated/")} in (generated, again)
