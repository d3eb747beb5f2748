"""Objects in a bucket. What is said of S3 is shown on moto, a server that imitates it."""

from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import pytest
from obstore.store import MemoryStore
from tests.brokers.identity import CLIENT_ID, HEADER, given, identity_endpoint
from tests.ports import free_port

from penstock.errors import StoreUnreachable, StoreUnusable
from penstock.objects.cloud import Cloud
from penstock.objects.interface import Objects
from penstock.testing import ObjectsContract


class TestMemory(ObjectsContract):
    @pytest.fixture
    def objects(self) -> Objects:
        return Cloud(MemoryStore(), "memory://")


class TestMoto(ObjectsContract):
    @pytest.fixture
    def objects(self, bucket: str) -> Objects:
        return Cloud.at(f"{bucket}/below/this")

    def again(self, objects: Objects, tmp_path: Path) -> Objects:
        return Cloud.at(objects.place)


def test_a_managed_identity_of_azure(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What a container of Azure's has in its environment is enough: a token is fetched, and shown to the store.

    The store is a stand-in that takes everything.
    """
    shown: list[str | None] = []

    class Blobs(BaseHTTPRequestHandler):
        def do_PUT(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            shown.append(self.headers.get("Authorization"))
            self.send_response(201)
            for name, value in (("ETag", '"1"'), ("Last-Modified", "Sun, 29 Nov 2026 06:00:00 GMT")):
                self.send_header(name, value)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, format: str, *arguments: object) -> None:
            pass

    (tmp_path / "file").write_bytes(b"x")
    server = ThreadingHTTPServer(("127.0.0.1", 0), Blobs)
    Thread(target=server.serve_forever, daemon=True).start()
    try:
        with identity_endpoint(lambda: given("a.b.c", 3_600)) as endpoint:
            for name, value in {
                **endpoint.environ,
                "AZURE_STORAGE_ACCOUNT_NAME": "flights",
                "AZURE_CLIENT_ID": CLIENT_ID,
                "AZURE_STORAGE_ENDPOINT": f"http://127.0.0.1:{server.server_port}/flights",
                "AZURE_ALLOW_HTTP": "true",
            }.items():
                monkeypatch.setenv(name, value)
            assert Cloud.at("az://models").create("a/b", tmp_path / "file")
        (asked,) = endpoint.asked
        assert (asked["client_id"], asked["secret"]) == (CLIENT_ID, HEADER)
        assert asked["resource"] == "https://storage.azure.com"
        assert shown == ["Bearer a.b.c"]
    finally:
        server.shutdown()
        server.server_close()


def every_act(objects: Objects, tmp_path: Path) -> list[tuple[str, str]]:
    """The error of each method and what it says."""
    (tmp_path / "file").write_bytes(b"x")
    found = []
    for act in (
        lambda: objects.create("a", tmp_path / "file"),
        lambda: objects.read("a"),
        lambda: list(objects.names("")),
    ):
        with pytest.raises((StoreUnusable, StoreUnreachable)) as error:
            act()
        found.append((type(error.value).__name__, str(error.value)))
    return found


def test_a_bucket_that_is_not_there(bucket: str, tmp_path: Path) -> None:
    for kind, said in every_act(Cloud.at("s3://another-one/x"), tmp_path):
        assert kind == "StoreUnusable"
        assert said == "there is no bucket s3://another-one/x: make it, or mend the URL"


def test_a_store_that_is_away(bucket: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{free_port()}")
    for kind, said in every_act(Cloud.at(bucket), tmp_path):
        assert kind == "StoreUnreachable"
        assert said.startswith(f"{bucket} does not answer: ")
        assert "\n" not in said


def test_without_credentials(bucket: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    monkeypatch.setenv("AWS_METADATA_ENDPOINT", f"http://127.0.0.1:{free_port()}")
    for kind, said in every_act(Cloud.at(bucket), tmp_path):
        assert kind == "StoreUnusable"
        assert said.startswith(f"{bucket}: no credentials in the environment, and none from this machine: ")


class Refusing(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.rfile.read(int(self.headers.get("content-length") or 0))
        self.send_response(403)
        self.send_header("content-length", "0")
        self.end_headers()

    do_PUT = do_GET

    def log_message(self, *_: object) -> None:
        pass


def test_credentials_that_are_refused(bucket: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with ThreadingHTTPServer(("127.0.0.1", 0), Refusing) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{server.server_port}")
        found = every_act(Cloud.at(bucket), tmp_path)
        server.shutdown()
    for kind, said in found:
        assert kind == "StoreUnusable"
        assert said.startswith(f"{bucket} refuses these credentials; ")


@pytest.mark.parametrize("url", ["s3://", "s3:/bucket", "ftp://bucket", "az://container/x"])
def test_what_is_no_url_of_a_bucket(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AZURE_STORAGE_ACCOUNT_NAME", raising=False)
    with pytest.raises(StoreUnusable, match=f"^{url} cannot be used"):
        Cloud.at(url)
