import os
from pathlib import Path

import pytest

from penstock.run.supervisor import watch
from penstock.run.supervisor.watch import Watch


@pytest.fixture(autouse=True)
def _look_always(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watch, "INTERVAL_S", 0.0)


def edit(path: Path, text: str) -> None:
    path.write_text(text)
    os.utime(path, ns=(0, path.stat().st_mtime_ns + 1))


def test_a_change_is_told_once(tmp_path: Path) -> None:
    app, helper = tmp_path / "app.py", tmp_path / "helper.py"
    app.write_text("a")
    helper.write_text("h")
    look = Watch([app, helper])
    assert look.changed() == []
    edit(helper, "h2")
    assert look.changed() == [helper] and look.changed() == []


def test_a_module_written_beside_the_app_counts(tmp_path: Path) -> None:
    app = tmp_path / "app.py"
    app.write_text("import helper")
    look = Watch([app])
    (tmp_path / "notes.txt").write_text("no")
    assert look.changed() == []
    (tmp_path / "helper.py").write_text("h")
    assert look.changed() == [tmp_path / "helper.py"]


def test_an_editor_that_replaces_the_file_is_seen_when_it_is_there_again(tmp_path: Path) -> None:
    app = tmp_path / "app.py"
    app.write_text("a")
    look = Watch([app])
    app.unlink()
    assert look.changed() == []
    edit(app, "b")
    assert look.changed() == [app]
