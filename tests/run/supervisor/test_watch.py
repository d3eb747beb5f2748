import os
from pathlib import Path

from penstock.clock import ManualClock
from penstock.run.supervisor.watch import INTERVAL_S, Watch


class EachTime(Watch):
    """Whose time has come whenever it is asked."""

    def __init__(self, files: list[Path]) -> None:
        self.clock = ManualClock()
        super().__init__(files, self.clock)

    def changed(self) -> list[Path]:
        self.clock.advance(INTERVAL_S)
        return super().changed()


def edit(path: Path, text: str) -> None:
    path.write_text(text)
    os.utime(path, ns=(0, path.stat().st_mtime_ns + 1))


def test_a_change_is_told_once(tmp_path: Path) -> None:
    app, helper = tmp_path / "app.py", tmp_path / "helper.py"
    app.write_text("a")
    helper.write_text("h")
    look = EachTime([app, helper])
    assert look.changed() == []
    edit(helper, "h2")
    assert look.changed() == [helper] and look.changed() == []


def test_a_module_written_beside_the_app_counts(tmp_path: Path) -> None:
    app = tmp_path / "app.py"
    app.write_text("import helper")
    look = EachTime([app])
    (tmp_path / "notes.txt").write_text("no")
    assert look.changed() == []
    (tmp_path / "helper.py").write_text("h")
    assert look.changed() == [tmp_path / "helper.py"]


def test_an_editor_that_replaces_the_file_is_seen_when_it_is_there_again(tmp_path: Path) -> None:
    app = tmp_path / "app.py"
    app.write_text("a")
    look = EachTime([app])
    app.unlink()
    assert look.changed() == []
    edit(app, "b")
    assert look.changed() == [app]


def test_between_two_looks_nothing_is_looked_at(tmp_path: Path) -> None:
    app, clock = tmp_path / "app.py", ManualClock()
    app.write_text("a")
    look = Watch([app], clock)
    assert look.changed() == []
    edit(app, "b")
    clock.advance(INTERVAL_S / 2)
    assert look.changed() == []
    clock.advance(INTERVAL_S / 2)
    assert look.changed() == [app]
