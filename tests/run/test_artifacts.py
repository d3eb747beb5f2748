"""`penstock run --artifacts`: where models lie, and what goes on while that is away."""

from __future__ import annotations

import hashlib
import os
import signal
import subprocess
from pathlib import Path

import polars as pl
import pytest
from tests.run.server import MODEL, PENSTOCK, Server, wait_for, write_app

from penstock.client.connection import Client
from penstock.errors import CannotStart, PenstockError, StoreUnusable
from penstock.objects.cloud import Cloud
from penstock.run.compose.backends import open_objects


def options(artifacts: str) -> tuple[str, ...]:
    return ("--port", "0", "--workers", "1", "--artifacts", artifacts)


def register(client: Client, folder: Path, factor: int) -> str:
    """Its digest."""
    (folder / f"times-{factor}.py").write_text(text := MODEL.format(factor=factor))
    digest = hashlib.sha256(text.encode()).hexdigest()
    client.register_model("double", folder / f"times-{factor}.py", trust=f"sha256:{digest}", outputs=["y"])
    return digest


def scores(client: Client) -> float | None:
    """What the model makes of 1; None while it makes nothing."""
    try:
        return float(client.infer("double", pl.DataFrame({"n": [1], "x": [1.0], "z": [1.0]}))["y"][0])
    except PenstockError:
        return None


def test_models_lie_in_the_bucket(bucket: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """And what is kept of them on the host is bounded at a start."""
    store, cache = Cloud.at(f"{bucket}/models"), tmp_path / "data" / "cache" / "sha256"
    with Server(write_app(tmp_path), tmp_path / "data", *options(f"{bucket}/models")) as server:
        with server.ready().client() as client:
            wait_for(lambda: scores(client) == 2.0)
            digest = register(client, tmp_path, 3)
            client.promote("double", 2)
            wait_for(lambda: scores(client) == 3.0)
        assert f"sha256/{digest[:2]}/{digest}" in set(store.names(""))
        assert len(set(store.names(""))) == 2
        assert not any((server.data / "artifacts" / "sha256").iterdir())
        assert len(list(cache.glob("??/*"))) == 2
        assert server.stop() == 0
    monkeypatch.setenv("PENSTOCK_ARTIFACT_CACHE", "1")
    with (
        Server(tmp_path / "app.py", tmp_path / "data", *options(f"{bucket}/models")) as server,
        server.ready().client() as client,
    ):
        wait_for(lambda: scores(client) == 3.0)
        assert [path.name for path in cache.glob("??/*")] == [digest], server.errors


def test_while_the_store_is_away_what_is_here_goes_on(tmp_path: Path) -> None:
    share, hidden = tmp_path / "share", tmp_path / "hidden"
    share.mkdir()
    with (
        Server(write_app(tmp_path), tmp_path / "data", *options(share.as_uri())) as server,
        server.ready().client() as client,
    ):
        wait_for(lambda: scores(client) == 2.0)
        share.rename(hidden)
        with pytest.raises(StoreUnusable, match="mount it, or make it"):
            register(client, tmp_path, 3)
        before = server.pid("worker-1")
        os.kill(before, signal.SIGKILL)
        wait_for(lambda: server.pid("worker-1") not in (0, before))
        wait_for(lambda: scores(client) == 2.0)
        hidden.rename(share)
        register(client, tmp_path, 3)
        client.promote("double", 2)
        wait_for(lambda: scores(client) == 3.0)


@pytest.mark.parametrize(
    ("url", "says"),
    [
        ("file:///nowhere/at/all", "there is no folder /nowhere/at/all: mount it, or make it"),
        ("file://share", "file:///FOLDER"),
        ("/mnt/share", "file:///FOLDER"),
        ("ftp://bucket", "s3://, gs:// or az://BUCKET"),
        ("s3://", "s3://, gs:// or az://BUCKET"),
        ("s3://key:secret@bucket", "credentials come from the environment"),
    ],
)
def test_a_store_that_cannot_be_used_ends_the_start(tmp_path: Path, url: str, says: str) -> None:
    app = write_app(tmp_path)
    done = subprocess.run(
        [*PENSTOCK, "run", str(app), "--data", str(tmp_path / "data"), *options(url)],
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 2 and done.stdout == ""
    assert says in done.stderr and done.stderr.count("\n") == 1
    assert "secret" not in done.stderr


def test_the_environment_may_say_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PENSTOCK_ARTIFACTS", "ftp://bucket")
    done = subprocess.run(
        [*PENSTOCK, "run", str(write_app(tmp_path)), "--data", str(tmp_path / "data"), "--port", "0"],
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 2 and "ftp://bucket" in done.stderr


def test_blanks_in_a_folder(tmp_path: Path) -> None:
    (tmp_path / "a b").mkdir()
    assert open_objects((tmp_path / "a b").as_uri()).place == (tmp_path / "a b").as_uri()
    with pytest.raises(CannotStart):
        open_objects("file://host/share")
