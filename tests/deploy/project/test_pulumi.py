"""Deploying with the Pulumi CLI, as far as a stand-in for it tells: what has to be there, and what is called.

The real one is tried by hand and, with a real engine, in tests/deploy/engine.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from penstock.cli.main import app

cli = CliRunner()
APP = """
import penstock as ps
app = ps.App("shop")
orders = app.topic("orders", retain="7d")
@app.on(orders)
def copy(order: dict, key: str = ps.secret("API_KEY"), region: str = ps.env("REGION")) -> None: ...
"""
IN_CLEAR = {"value": "x", "secret": False}
TOLD = {
    "azure-native:location": IN_CLEAR,
    "shop-azure:image": IN_CLEAR,
    "shop-azure:REGION": IN_CLEAR,
    "shop-azure:API_KEY": {"secret": True},
}
ASKED = ["azure", "config", "--json", "--non-interactive", "--stack", "dev"]
PREVIEW = ["azure", "preview", "--stack", "dev"]
UP = ["azure", "up", "--stack", "dev", "--yes", "--skip-preview"]


class Place:
    """An app, and a machine with the stand-in on its PATH."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.out = folder, folder / "deploy" / "azure"
        (folder / "app.py").write_text(APP)
        (folder / "bin").mkdir()
        self.say(login=True, stacks={"dev": TOLD})
        self.put("bin/pulumi", f'exec {sys.executable} {Path(__file__).with_name("standin_pulumi.py")} "$@"')

    def say(self, **state: object) -> None:
        whole = {"login": True, "stacks": {}, "fails": [], "interrupted": None, **state}
        (self.folder / "state.json").write_text(json.dumps(whole))

    def put(self, name: str, command: str) -> None:
        file = self.folder / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(f"#!/bin/sh\n{command}\n")
        file.chmod(0o755)

    def install(self, *modules: str) -> None:
        """What `pulumi install` does, with modules that are empty."""
        for module in modules:
            (self.folder / "site" / module).mkdir(parents=True, exist_ok=True)
        self.put(
            f"{self.out.relative_to(self.folder)}/venv/bin/python",
            f'PYTHONPATH={self.folder}/site exec {sys.executable} -S "$@"',
        )

    @property
    def words(self) -> list[str]:
        return ["deploy", str(self.folder / "app.py"), "--target", "azure"]

    @property
    def environ(self) -> dict[str, str]:
        return {**os.environ, "PATH": f"{self.folder / 'bin'}:/usr/bin:/bin", "STANDIN": str(self.folder)}

    def deploy(self, *options: str) -> Result:
        """In this process: what Pulumi prints by itself is not seen."""
        return cli.invoke(app, [*self.words, *options], env=self.environ)

    def start(self, *options: str) -> subprocess.Popen[str]:
        """In a process of its own, which ends with what Pulumi printed and it in turn."""
        return subprocess.Popen(
            [sys.executable, "-m", "penstock", *self.words, *options],
            env=self.environ,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )

    @property
    def calls(self) -> list[list[str]]:
        """Since the last look."""
        file = self.folder / "calls"
        lines = file.read_text().splitlines() if file.exists() else []
        file.unlink(missing_ok=True)
        return [json.loads(line) for line in lines]


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path)


def test_it_is_previewed_and_applied(place: Place) -> None:
    place.deploy("--write-only")
    assert place.calls == []
    place.install("penstock", "pulumi", "pulumi_azure_native")
    process = place.start("--yes")
    out, _ = process.communicate(timeout=300)
    assert process.returncode == 0 and out.splitlines()[1:] == ["Previewing update (dev):", "Updating (dev):"]
    assert place.calls == [ASKED, PREVIEW, UP]
    assert place.deploy("--preview").exit_code == 0 and place.calls == [ASKED, PREVIEW]
    unasked = place.deploy()
    assert unasked.exit_code == 1 and "--yes applies it without asking" in unasked.stderr
    assert place.calls == [ASKED, PREVIEW]
    place.say(stacks={"prod": TOLD})
    place.deploy("--yes", "--stack", "prod")
    assert [call[call.index("--stack") + 1] for call in place.calls] == ["prod"] * 3


def missing(place: Place, *options: str) -> str:
    """What it says where it cannot begin; the project is whole all the same, and Pulumi has done nothing."""
    done = place.deploy("--yes", *options)
    assert done.exit_code == 2 and done.stdout.startswith("written"), done.stderr
    assert (place.out / "generated" / "manifest.json").is_file()
    assert [call for call in place.calls if call[1] != "config"] == []
    return done.stderr.partition("penstock: ")[2]


def test_without_the_cli_it_says_how_to_get_it(place: Place) -> None:
    (place.folder / "bin" / "pulumi").unlink()
    told = missing(place)
    assert "no pulumi is on the PATH: https://www.pulumi.com/docs/install/" in told and told.count("\n") == 1


def test_without_a_login_or_a_stack_it_says_the_command(place: Place) -> None:
    place.say(login=False)
    assert f"nobody is logged in to Pulumi; in {place.out}: pulumi login, or pulumi login --local (" in missing(place)
    place.say(login=True)
    assert f"no stack 'dev'; in {place.out}: pulumi stack init dev (error: no stack named" in missing(place)
    assert "pulumi stack init prod" in missing(place, "--stack", "prod")


def test_another_failure_is_passed_on(place: Place) -> None:
    place.say(stacks={"dev": TOLD}, fails=["config"])
    assert f"pulumi config, in {place.out}, does not say what is set: error: it is as it is" in missing(place)


COMMANDS = {
    "azure-native:location": "azure-native:location (the region): pulumi config set azure-native:location westeurope",
    "shop-azure:image": "image (the app's image, by its digest): pulumi config set image REGISTRY/NAME@sha256:DIGEST",
    "shop-azure:REGION": "REGION (app.py:5: 'copy' looks it up): pulumi config set REGION VALUE",
    "shop-azure:API_KEY": "API_KEY (app.py:5: 'copy' looks it up): pulumi config set --secret API_KEY",
}


def without(key: str) -> Mapping[str, Any]:
    return {name: value for name, value in TOLD.items() if name != key}


@pytest.mark.parametrize("key", COMMANDS)
@pytest.mark.parametrize("change", [without, lambda key: {**TOLD, key: {"value": "", "secret": False}}])
def test_each_value_that_is_missing_is_told_with_its_command(
    place: Place, key: str, change: Callable[[str], Mapping[str, Any]]
) -> None:
    place.say(stacks={"dev": change(key)})
    place.install("penstock", "pulumi", "pulumi_azure_native")
    (place.out / "venv").rename(place.folder / "venv")
    place.deploy("--write-only")
    (place.folder / "venv").rename(place.out / "venv")
    told = missing(place).splitlines()
    assert told[1:] == [f"  a value of {COMMANDS[key]} --stack dev"]


def test_what_the_program_has_from_elsewhere_is_not_asked_for(place: Place) -> None:
    place.say(stacks={"dev": {}})
    place.deploy("--write-only")
    place.install("penstock", "pulumi", "pulumi_azure_native")
    program = place.out / "__main__.py"
    given = program.read_text().replace('config.require("image")', '"a@sha256:1", location="here"')
    program.write_text(given.replace('config.require("REGION")', '"north"'))
    told = missing(place).splitlines()
    assert [line.partition(" (")[0] for line in told[1:]] == ["  a value of API_KEY"]


def test_a_secret_in_the_clear_is_told(place: Place) -> None:
    place.say(stacks={"dev": {**TOLD, "shop-azure:API_KEY": {"value": "hunter2", "secret": False}}})
    told = missing(place)
    assert "API_KEY as a secret, it is there in the clear: pulumi config set --secret API_KEY" in told
    assert "hunter2" not in told


@pytest.mark.parametrize("modules", [(), ("penstock", "pulumi"), ("pulumi", "pulumi_azure_native")])
def test_an_environment_without_the_sdk_is_told(place: Place, modules: Sequence[str]) -> None:
    place.deploy("--write-only")
    assert "  its environment, venv/: pulumi install" in missing(place)
    place.install(*modules)
    assert "  Penstock or pulumi_azure_native in venv/: pulumi install" in missing(place)
    settings = place.out / "Pulumi.yaml"
    settings.write_text(settings.read_text().replace("virtualenv: venv", "virtualenv: ../.venv"))
    assert place.deploy("--preview").exit_code == 0, "the user's own environment is the user's"


@pytest.mark.parametrize(("what", "said"), [("preview", "pulumi preview failed"), ("up", "pulumi up failed")])
def test_what_fails_is_told_and_ends_it(place: Place, what: str, said: str) -> None:
    place.deploy("--write-only")
    place.install("penstock", "pulumi", "pulumi_azure_native")
    place.say(stacks={"dev": TOLD}, fails=[what])
    process = place.start("--yes")
    _, err = process.communicate(timeout=300)
    assert process.returncode == 1
    assert err.endswith(f"error: it is as it is\npenstock: {said}, and says above why (exit code 1)\n")
    assert place.calls[-1] == (PREVIEW if what == "preview" else UP)


def test_an_update_that_is_interrupted_ends_in_order(place: Place) -> None:
    """Ctrl-C goes to both: who does not wait leaves half an update and a stack that is locked."""
    place.deploy("--write-only")
    place.install("penstock", "pulumi", "pulumi_azure_native")
    place.say(stacks={"dev": TOLD}, interrupted="up")
    process = place.start("--yes")
    for _ in range(3_000):
        if (place.folder / "waiting").exists():
            break
        time.sleep(0.05)
    os.killpg(process.pid, signal.SIGINT)
    out, err = process.communicate(timeout=120)
    assert out.endswith("Updating (dev):\nended in order\n") and "pulumi up failed" in err
    assert process.returncode == 1


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--dry-run", "--yes"), "--dry-run and --yes: each says where to stop; choose one"),
        (("--write-only", "--preview"), "--write-only and --preview: each says where to stop"),
        (("--json",), "--json shows what is needed: write --dry-run with it"),
        (("--draw", "a.svg"), "--draw shows what is needed: write --dry-run with it"),
        (("--dry-run", "--out", "a"), "--out is where the project is written, and --dry-run writes nothing"),
    ],
)
def test_options_that_do_not_go_together_are_refused(place: Place, options: Sequence[str], said: str) -> None:
    (place.folder / "app.py").write_text("raise SystemExit('executed')")
    done = place.deploy(*options)
    assert done.exit_code == 2 and done.stderr.startswith(f"penstock: {said}") and done.stderr.count("\n") == 1
    assert not place.out.exists()
