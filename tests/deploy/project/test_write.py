"""The written projects of both targets: what is in them, and what they say when the app changes."""

from __future__ import annotations

import ast
import json
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import pytest

from penstock.deploy.access import DoorAccess
from penstock.deploy.project.write import WrittenProject, write
from penstock.deploy.targets import TARGETS
from penstock.errors import CannotStart, DeclarationError
from penstock.plan.codec import as_json, plan_from_bytes
from penstock.run.check import check

APP = """
import penstock as ps
app = ps.App("shop")
orders = app.topic("orders", retain="7d")
@app.on(orders)
def copy(order: dict, {parameters}) -> None: ...
"""
SECRET, SETTING, DEFAULT = 'a: str = ps.secret("API_KEY")', 'b: str = ps.env("REGION")', 'c: str = ps.env("C", "d")'
OWN = {
    ".gitignore", "Pulumi.dev.yaml", "Pulumi.yaml", "README.md", "__main__.py", "image/README.md",
    "image/requirements.txt", "requirements.txt",
}  # fmt: skip
GENERATED = {"Dockerfile", "Dockerfile.dockerignore", "manifest.json", "plan.json", "requirements-image.txt"}


def written(
    folder: Path, target: str = "azure", *parameters: str, text: str = APP, access: str | None = None
) -> WrittenProject:
    """Each app is a file of another name: a module is imported once."""
    file = folder / f"app{len(list(folder.glob('*.py')))}.py"
    file.write_text(text.format(parameters=", ".join(parameters)))
    return write(check(str(file), None), target, folder / target, access)


@pytest.mark.parametrize("target", TARGETS)
def test_a_project_has_these_files(tmp_path: Path, target: str) -> None:
    project = written(tmp_path, target, SECRET, SETTING, DEFAULT)
    found = {path.relative_to(project.directory).as_posix() for path in project.directory.rglob("*") if path.is_file()}
    assert found == OWN | {f"generated/{name}" for name in GENERATED}
    assert project.is_new
    plan = (project.directory / "generated" / "plan.json").read_text()
    assert as_json(plan_from_bytes(plan.encode())) + "\n" == plan and str(tmp_path) not in plan


@pytest.mark.parametrize("access", [None, "keys,oidc,sas"])
@pytest.mark.parametrize("target", TARGETS)
def test_the_program_is_short_and_passes_what_looks_at_programs(
    tmp_path: Path, target: str, access: str | None
) -> None:
    project = written(tmp_path, target, SECRET, SETTING, DEFAULT, access=access)
    program = project.directory / "__main__.py"
    lines = [line for line in ast.unparse(ast.parse(program.read_text())).splitlines() if line]
    assert len(lines) <= 10, lines
    tool = Path(sys.executable).with_name("ruff")
    for words in (("check", "--isolated", "--select", "E,F,W,I,B,UP,SIM,RUF,RET"), ("format", "--isolated", "--check")):
        done = subprocess.run([tool, *words, "--no-cache", program], cwd=tmp_path, capture_output=True, text=True)
        assert done.returncode == 0, done.stdout


@pytest.mark.parametrize("access", ["", "keys,oidc,sas"])
@pytest.mark.parametrize("target", TARGETS)
def test_each_value_that_the_program_asks_for_has_its_command(tmp_path: Path, target: str, access: str) -> None:
    project = written(tmp_path, target, SECRET, SETTING, DEFAULT, access=access)
    own = list(opened.secrets) if (opened := DoorAccess.parse(access)) else []
    tree = ast.parse((project.directory / "__main__.py").read_text())
    calls = [call for call in ast.walk(tree) if isinstance(call, ast.Call) and ast.unparse(call.func)[:7] == "config."]
    asked = {ast.literal_eval(call.args[0]): ast.unparse(call.func).removeprefix("config.") for call in calls}
    commands = {wanted.key: wanted.command for wanted in project.wanted}
    assert asked.keys() == {key for key in commands if ":" not in key}
    assert {key for key, how in asked.items() if how == "require_secret"} == {"API_KEY", *own}
    assert commands["API_KEY"] == "pulumi config set --secret API_KEY"
    assert "C" not in asked, "it has a default"
    page = (project.directory / "README.md").read_text()
    stack = (project.directory / "Pulumi.dev.yaml").read_text()
    for key, command in commands.items():
        assert command in page or (key == "image" and "pulumi config set image " in page)
        assert f"{key}:" in stack or key in ("API_KEY", "REGION", *own)


@pytest.mark.parametrize("target", TARGETS)
def test_a_program_opens_the_doors_only_when_it_was_asked_for(tmp_path: Path, target: str) -> None:
    closed = (written(tmp_path, target).directory / "__main__.py").read_text()
    assert not [word for word in ("access", "ngress", "public_url", "PENSTOCK_") if word in closed]
    (tmp_path / "open").mkdir()
    project = written(tmp_path / "open", target, access="oidc,keys")
    program = (project.directory / "__main__.py").read_text()
    assert 'access="keys,oidc",\n    ingress=' in program and "app.public_url" in program
    page = (project.directory / "README.md").read_text()
    assert "penstock keys generate | pulumi config set --secret PENSTOCK_ADMIN_KEY\n" in page
    assert "penstock keys list --url $(pulumi stack output public_url)" in page
    assert "PENSTOCK_SAS_SECRET" not in page + program


def test_a_project_keeps_its_access_until_it_is_told_another(tmp_path: Path) -> None:
    def pinned(project: WrittenProject) -> bool:
        return "joserfc" in (project.directory / "generated" / "requirements-image.txt").read_text()

    assert not pinned(written(tmp_path, access="keys"))
    assert pinned(written(tmp_path, access="keys,oidc"))
    again = written(tmp_path)
    assert pinned(again) and "PENSTOCK_OIDC_ROLES" in {value.variable for value in again.wanted}
    assert not pinned(written(tmp_path, access=""))
    assert not written(tmp_path).wanted[-1].is_secret


@pytest.mark.parametrize("target", TARGETS)
def test_a_program_that_leaves_the_doors_closed_is_told(tmp_path: Path, target: str) -> None:
    written(tmp_path, target)
    again = written(tmp_path, target, access="keys")
    program = tmp_path / target / "__main__.py"
    lacking = [remark for remark in again.remarks if remark.startswith(f"{program} may lack ")]
    assert lacking[0].removeprefix(f"{program} may lack ").startswith('access="keys", ingress=')
    assert 'secrets={"PENSTOCK_ADMIN_KEY": config.require_secret("PENSTOCK_ADMIN_KEY")}' in lacking[1]


def test_a_variable_that_is_called_as_a_value_of_the_project_keeps_apart(tmp_path: Path) -> None:
    project = written(tmp_path, "kubernetes", 'a: str = ps.secret("log")')
    program = (project.directory / "__main__.py").read_text()
    assert '"log": config.require_secret("app_log")' in program and 'log=config.require("log")' in program


def test_what_a_changed_app_asks_for_and_the_program_lacks_is_told(tmp_path: Path) -> None:
    assert not [remark for remark in written(tmp_path, "azure").remarks if "lack" in remark]
    again = written(tmp_path, "azure", SECRET, SETTING)
    assert not again.is_new
    program = tmp_path / "azure" / "__main__.py"
    asked = "app1.py:5: 'copy' looks it up"
    setting, secret = [remark for remark in again.remarks if "lack" in remark]
    assert secret == f'{program} may lack secrets={{"API_KEY": config.require_secret("API_KEY")}}; {asked}'
    assert setting == f'{program} may lack settings={{"REGION": config.require("REGION")}}; {asked}'
    program.write_text(f'{program.read_text()}\n# its owner\nMORE = ["API_KEY", "REGION"]\n')
    assert not [remark for remark in written(tmp_path, "azure", SECRET, SETTING).remarks if "lack" in remark]
    program.write_text("config = (")
    assert any(f"{program} cannot be read" in remark for remark in written(tmp_path, "azure", SECRET).remarks)


def test_a_changed_app_wants_its_image_anew(tmp_path: Path) -> None:
    first = written(tmp_path)
    again = write(check(str(tmp_path / "app0.py"), None), "azure", first.directory)
    changed = written(tmp_path, "azure", DEFAULT)
    assert [bool([remark for remark in each.remarks if "build its image again" in remark]) for each in (
        first, again, changed
    )] == [False, False, True]  # fmt: skip


def test_what_no_index_has_is_told_until_its_wheel_is_there(tmp_path: Path) -> None:
    """Penstock itself, in an environment that has a checkout."""
    local = [remark for remark in written(tmp_path).remarks if "was not installed from an index" in remark]
    line = f"penstock-ml=={version('penstock-ml')}"
    assert [remark.partition(" ")[0] for remark in local] == [line]
    (tmp_path / "azure" / "image" / f"{line.replace('-', '_').replace('==', '-')}-py3-none-any.whl").write_text("")
    assert not [remark for remark in written(tmp_path).remarks if "was not installed from an index" in remark]


def test_the_image_has_the_files_that_the_app_is_made_of(tmp_path: Path) -> None:
    (tmp_path / "prices.py").write_text("def late():\n    from parts.b import c\n")
    (tmp_path / "parts").mkdir()
    (tmp_path / "parts" / "b.py").write_text("import yaml_is_not_there\nc = 1\n")
    (tmp_path / "other.py").write_text("")
    project = written(tmp_path, text=APP.replace("import penstock as ps", "import penstock as ps, prices"))
    docker = (project.directory / "generated" / "Dockerfile").read_text()
    assert 'COPY ["app2.py", "prices.py", "/app/"]\nCOPY ["parts/b.py", "/app/parts/"]\n' in docker
    assert "other.py" not in docker
    assert any(remark.startswith("yaml_is_not_there is imported and comes with nothing") for remark in project.remarks)


def test_a_project_elsewhere_is_built_from_the_folder_that_holds_both(tmp_path: Path) -> None:
    (tmp_path / "shop").mkdir()
    file = tmp_path / "shop" / "app.py"
    file.write_text(APP.format(parameters=""))
    write(check(str(file), None), "azure", tmp_path / "infra")
    docker = (tmp_path / "infra" / "generated" / "Dockerfile").read_text()
    assert 'COPY ["shop/app.py", "/app/"]' in docker and 'COPY ["infra/image/", "/image/"]' in docker
    assert "--file generated/Dockerfile --tag REGISTRY/shop ..\n" in (tmp_path / "infra" / "README.md").read_text()
    ignored = (tmp_path / "infra" / "generated" / "Dockerfile.dockerignore").read_text().splitlines()
    assert ignored == ["*", "!infra/image", "!infra/generated/requirements-image.txt", "!shop/app.py"]


@pytest.mark.parametrize(
    ("text", "error", "said"),
    [
        (APP.replace('"7d"', "None"), DeclarationError, "app0.py:4: topic 'orders' is kept for ever"),
        (APP + "app.on(5)(copy)\n", DeclarationError, "app0.py"),
        (APP + 'app.model("m", "../m.py", outputs=["y"])\n', DeclarationError, "is not in the app's folder"),
    ],
)
def test_nothing_is_written_of_what_cannot_be(tmp_path: Path, text: str, error: type[Exception], said: str) -> None:
    (tmp_path / "m.py").write_text("")
    folder = tmp_path / "shop"
    folder.mkdir()
    with pytest.raises(error, match=said):
        written(folder, text=text)
    assert not (folder / "azure").exists()


def test_an_app_in_a_package_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "shop_of_a_package.py").write_text(APP.format(parameters=""))
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(CannotStart, match=r"write path/to/app\.py in place of shop_of_a_package:app"):
        write(check("shop_of_a_package:app", None), "azure", tmp_path / "azure")


def test_the_manifest_is_of_the_app_and_the_target(tmp_path: Path) -> None:
    project = written(tmp_path, "kubernetes")
    found = json.loads((project.directory / "generated" / "manifest.json").read_text())
    assert (found["app"], found["target"]) == ("shop", "kubernetes")
    assert set(found["files"]) == GENERATED - {"manifest.json"}
