"""Which line of a traceback is the user's."""

from __future__ import annotations

import json
import traceback
from pathlib import Path

from penstock.stages.failures.blame import place_of


def test_the_last_line_that_is_the_users(tmp_path: Path) -> None:
    app = tmp_path / "my app.py"
    app.write_text("import json\ndef outer():\n    inner()\ndef inner():\n    json.loads('{')\n")
    space: dict[str, object] = {}
    exec(compile(app.read_text(), str(app), "exec"), space)
    try:
        space["outer"]()  # type: ignore[operator]
    except json.JSONDecodeError:
        assert place_of(traceback.format_exc()) == f"{app}:5"


def test_none_is_the_users() -> None:
    assert place_of("") == ""
    assert place_of(f'Traceback:\n  File "{json.__file__}", line 3, in loads\n  File "<string>", line 1') == ""
