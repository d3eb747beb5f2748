"""What an image holds of the libraries of models."""

from __future__ import annotations

import re
from importlib.metadata import metadata
from pathlib import Path

import pytest

from penstock.deploy.project.contents import ALWAYS, EXTRAS, WEBHOOKS, contents_of
from penstock.deploy.project.image import image_files
from penstock.errors import CannotStart
from penstock.models.runtimes.choose import BUILT_IN
from penstock.run.check import check

APP = """
import penstock as ps
app = ps.App("shop")
app.model("plain", "models/plain.py", outputs=["y"])
app.model("later", outputs=["y"])
"""


def test_each_runtime_has_its_extra_but_for_the_one_that_needs_none() -> None:
    assert {*EXTRAS, "python"} == set(BUILT_IN), "a runtime whose library no image would have"
    assert {*EXTRAS.values(), *ALWAYS, WEBHOOKS} <= set(metadata("penstock-ml").get_all("Provides-Extra") or ())


def test_models_files_are_there_with_what_they_import(tmp_path: Path) -> None:
    (tmp_path / "models").mkdir()
    (tmp_path / "models" / "plain.py").write_text("import scale\n")
    (tmp_path / "scale.py").write_text("")
    (tmp_path / "app.py").write_text(APP)
    contents = contents_of(check(str(tmp_path / "app.py"), None))
    assert contents.files == ("app.py", "models/plain.py", "scale.py")
    assert [remark for remark in contents.remarks if "no file of model 'later'" in remark]
    assert not [line for line in contents.pins.lines if line.startswith(("onnxruntime", "lightgbm"))]
    assert [line for line in contents.pins.lines if line.startswith("confluent-kafka")]


@pytest.mark.parametrize(
    ("to", "goes_outside"), [('"https://hooks.example.com/"', True), ("ps.env('URL')", True), ('app.topic("u")', False)]
)
def test_an_app_that_sends_outside_has_libcurl_in_its_image(to: str, goes_outside: bool, tmp_path: Path) -> None:
    app = f'import penstock as ps\napp = ps.App("shop")\napp.subscribe(app.topic("t"), {to}, name="hook")\n'
    (tmp_path / "app.py").write_text(app)
    names = {
        re.split("[=<>]", line)[0].lower() for line in contents_of(check(str(tmp_path / "app.py"), None)).pins.lines
    }
    assert {"pycurl", "standardwebhooks"} <= names if goes_outside else "pycurl" not in names
    assert "confluent-kafka" in names


def test_a_name_that_means_something_in_a_dockerfile_is_refused(tmp_path: Path) -> None:
    folder = tmp_path / "a$b"
    folder.mkdir()
    (folder / "app.py").write_text(APP.partition("app.model")[0])
    contents = contents_of(check(str(folder / "app.py"), None))
    assert image_files(contents, folder / "out", folder)
    with pytest.raises(CannotStart, match=r"a\$b/app\.py cannot go into an image"):
        image_files(contents, tmp_path / "out", folder)
