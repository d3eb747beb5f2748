"""``import penstock`` costs next to nothing: what is heavy loads when it is needed."""

from __future__ import annotations

import subprocess
import sys

HEAVY = {"polars", "pyarrow", "numpy", "msgspec", "apsw", "httpx", "starlette", "asyncio", "pandas", "onnxruntime"}


def loaded_by(code: str) -> set[str]:
    done = subprocess.run(
        [sys.executable, "-c", f"{code}\nimport sys\nprint(*sys.modules)"], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    return {name.partition(".")[0] for name in done.stdout.split()}


def test_importing_penstock_imports_nothing_heavy() -> None:
    assert not loaded_by("import penstock") & HEAVY


def test_the_check_sees_a_heavy_import() -> None:
    assert loaded_by("import penstock, polars") & HEAVY == {"polars"} | (loaded_by("import polars") & HEAVY)
