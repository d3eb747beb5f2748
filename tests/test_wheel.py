"""What is shipped is what runs: a built wheel, outside the checkout, does the whole demo."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]


def test_the_wheel_runs_the_demo(tmp_path: Path) -> None:
    python = [sys.executable, "-P", "-m"]
    build = [*python, "build", "--wheel", "--no-isolation", "--outdir", str(tmp_path / "dist"), str(ROOT)]
    subprocess.run(build, check=True, capture_output=True, timeout=120)
    (wheel,) = (tmp_path / "dist").glob("penstock_ml-*.whl")
    site = tmp_path / "site"
    install = [*python, "pip", "install", "--no-deps", "--quiet", "--target", str(site), str(wheel)]
    subprocess.run(install, check=True, capture_output=True, timeout=120)
    outside = {**os.environ, "PYTHONPATH": str(site)}
    where = [*python[:-1], "-c", "import penstock; print(penstock.__file__)"]
    found = subprocess.run(where, check=True, capture_output=True, text=True, cwd=tmp_path, env=outside).stdout
    assert Path(found.strip()).is_relative_to(site)
    demo = [*python, "penstock", "demo", "--json"]
    ran = subprocess.run(demo, check=True, capture_output=True, text=True, cwd=tmp_path, env=outside, timeout=180)
    result = json.loads(ran.stdout)
    assert result["events"] == result["predictions"] == 84_292
    assert sum(result["versions"].values()) == 84_292 and "2" in result["versions"]
    assert result["error"] < result["baseline"]
