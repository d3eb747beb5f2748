from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from penstock.declare.load import load
from penstock.errors import DeclarationError

Write = Callable[..., Path]
APP = "import penstock as ps\napp = ps.App('x')\n"


def test_a_file_a_variable_and_a_module(app_file: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    file = app_file("other = ps.App('y')\n", name="two_apps.py", head=APP)
    assert load(f"{file}:other").app.name == "y"
    assert load(f"{file}:other").target == f"{file}:other"
    monkeypatch.chdir(file.parent)
    assert load("two_apps:app").app.name == "x"
    with pytest.raises(DeclarationError, match=r"several Apps; say which: two_apps\.py:app or two_apps\.py:other"):
        load("two_apps.py")


def test_loading_twice_gives_the_same_app(app_file: Write) -> None:
    file = app_file("", name="once.py", head=APP)
    assert load(str(file)).app is load(f"{file}:app").app


def test_the_digest_covers_the_modules_beside_the_file(app_file: Write) -> None:
    helper = app_file("X = 1\n", name="helper_of_digest.py", head="")
    file = app_file("import helper_of_digest\n", name="with_helper.py", head=APP)
    first = load(str(file)).code
    assert first == load(str(file)).code
    helper.write_text("X = 2\n")
    assert load(str(file)).code != first


def test_a_file_named_like_a_library_still_loads(app_file: Write) -> None:
    assert load(str(app_file("", name="json.py", head=APP))).app.name == "x"
    assert load(str(app_file("", name="with-dash.py", head=APP))).app.name == "x"


def test_dataclasses_with_text_annotations_find_their_module(app_file: Write) -> None:
    text = "from __future__ import annotations\nfrom dataclasses import dataclass\n"
    text += APP + "@dataclass\nclass A:\n    a: int\napp.topic('a', A)\n"
    assert load(str(app_file("", name="texts.py", head=text))).app.parts.topics


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("def f(:\n", r"bad_app\.py:3: .*def f\(:"),
        ("import no_such_library\n", r"No module named 'no_such_library'\n.*bad_app\.py\", line 3"),
        ("1 / 0\n", "ZeroDivisionError"),
        ("import sys; sys.exit(3)\n", "SystemExit: 3"),
        ("del app\n", "declares no App"),
        ("app.topic('a', partitions=0)\n", r"bad_app\.py:3: partitions=0"),
    ],
)
def test_what_goes_wrong_is_said_and_forgotten(app_file: Write, text: str, message: str) -> None:
    file = app_file(text, name="bad_app.py", head=APP)
    for _ in range(2):
        with pytest.raises(DeclarationError, match=message) as raised:
            load(str(file))
        assert "importlib" not in str(raised.value)
    if "del app" not in text:
        file.write_text(APP)
        assert load(str(file)).app.name == "x"


@pytest.mark.parametrize(
    ("target", "message"),
    [
        ("nowhere.py", "no such file"),
        ("nowhere.py:app", "no such file"),
        ("no/such", "neither a file nor a module"),
        ("penstock_is_not_here:app", "No module named"),
        ("penstock.clock:app", "no App called 'app'"),
        ("", "neither a file nor a module"),
        (":app", "neither a file nor a module"),
    ],
)
def test_targets_that_lead_nowhere(target: str, message: str) -> None:
    with pytest.raises(DeclarationError, match=message):
        load(target)
