"""The image that a written project describes: its steps, run as commands, and what comes out, started as where it is
deployed: as a user of no name, on a file system that is read only."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pip
import pytest

from penstock.deploy.project.write import write
from penstock.run.check import check
from tests.e2e.container import Stage, build, steps
from tests.e2e.wheels import make_wheels

ROOT = Path(__file__).parents[2]
pytestmark = pytest.mark.embedded


@pytest.fixture
def place() -> Iterator[Path]:
    """That any user may look into, which pytest's own are not."""
    folder = Path(tempfile.mkdtemp(prefix="penstock-image-"))
    folder.chmod(0o755)
    yield folder
    shutil.rmtree(folder)


def can_mount() -> bool:
    return os.geteuid() == 0 and subprocess.run(["unshare", "--mount", "true"], capture_output=True).returncode == 0


def image_of(app: Path, folder: Path) -> Stage:
    """With wheels of what is installed here in place of an index, and Penstock's own as its user puts it there."""
    project = write(check(str(app), None), "kubernetes", app.parent / "deploy" / "kubernetes")
    words = [sys.executable, "-P", "-m", "build", "--wheel", "--no-isolation", "--outdir"]
    subprocess.run([*words, str(project.directory / "image"), str(ROOT)], check=True, capture_output=True, timeout=120)
    pinned = (project.directory / "generated" / "requirements-image.txt").read_text().splitlines()
    names = [line.partition("==")[0] for line in pinned]
    make_wheels([name for name in names if name != "penstock-ml"], folder / "wheels")
    shutil.copytree(Path(pip.__file__).parent, folder / "wheels" / "pip")
    return build(project.directory / "generated" / "Dockerfile", app.parent, folder / "stages", folder / "wheels")


def tree(folder: Path) -> dict[str, int]:
    """Each file of an image, and when it was changed last."""
    return {str(path.relative_to(folder)): path.lstat().st_mtime_ns for path in folder.rglob("*")}


def test_the_image_starts_as_nobody_on_a_file_system_that_is_read_only(place: Path) -> None:
    if not can_mount():
        assert "CI" not in os.environ, "this takes root, and unshare"
        pytest.skip("mounts take root, and unshare")
    app = place / "shop"
    app.mkdir()
    for name in ("app.py", "risk.py"):
        shutil.copy(ROOT / "examples" / "quickstart" / name, app)
        (app / name).chmod(0o600)  # as a careful umask has it
    image = image_of(app / "app.py", place)
    assert image.user == "10001:10001" and image.entry == ["penstock"] and image.folder == "/app"
    data = place / "data"
    data.mkdir()
    os.chown(data, 10001, 10001)
    before = tree(image.root)
    words = [*image.entry, "run", "/app/app.py", "--data", "/data", "--port", "0", "--workers", "1"]
    began = time.monotonic()
    errors = place / "errors"
    command = image.command(words, {"/data": data}, read_only=True)
    with errors.open("w") as sink, subprocess.Popen(command, stdout=subprocess.PIPE, stderr=sink, text=True) as running:
        try:
            check_running(running, began, errors)
        finally:
            running.send_signal(signal.SIGTERM)
    assert running.returncode == 0, errors.read_text()
    assert tree(image.root) == before, "something was written into the image"
    told = errors.read_text()
    assert "Permission denied" not in told and "Read-only file system" not in told, told


def check_running(running: subprocess.Popen[str], began: float, errors: Path) -> None:
    """It is ready, as that user, and scores."""
    assert running.stdout is not None
    line = running.stdout.readline().strip()
    assert line.startswith("ready http://"), errors.read_text()
    print(f"ready after {time.monotonic() - began:.2f} s")
    assert "Uid:\t10001\t10001\t10001\t10001" in Path(f"/proc/{running.pid}/status").read_text()
    payment = {"id": "p1", "card": "c7", "amount": 120.0, "country": "US"}
    answer = httpx.post(f"{line.partition(' ')[2]}/topics/payments/events?wait=scores", json=payment, timeout=30)
    assert answer.status_code == 200 and "0.36" in answer.text, answer.text


def test_a_step_that_nobody_knows_is_found() -> None:
    text = "# a\nFROM a AS b\nRUN one \\\n  two\n\nCOPY c d\n"
    assert steps(text) == [("FROM", "a AS b"), ("RUN", "one two"), ("COPY", "c d")]
