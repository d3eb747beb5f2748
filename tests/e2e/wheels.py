"""Wheels of what is installed here, in place of an index."""

from __future__ import annotations

import zipfile
from collections.abc import Iterable
from importlib.metadata import distribution
from pathlib import Path

LEFT_OUT = ("direct_url.json", "INSTALLER", "REQUESTED")  # of an installation


def make_wheels(names: Iterable[str], folder: Path) -> None:
    """One a distribution, not compressed: it is read once."""
    folder.mkdir()
    for name in names:
        found = distribution(name)
        files = [path for path in found.files or () if path.parts[0] != ".." and "__pycache__" not in path.parts]
        (information,) = {path.parts[0] for path in files if path.parts[0].endswith(".dist-info")}
        about = (found.read_text("WHEEL") or "").splitlines()
        tags = zip(*(line.removeprefix("Tag: ").split("-") for line in about if line.startswith("Tag: ")), strict=True)
        tag = "-".join(".".join(dict.fromkeys(part)) for part in tags)
        with zipfile.ZipFile(folder / f"{information.removesuffix('.dist-info')}-{tag}.whl", "w") as wheel:
            for path in files:
                if path.name not in LEFT_OUT:
                    wheel.write(str(path.locate()), str(path))
