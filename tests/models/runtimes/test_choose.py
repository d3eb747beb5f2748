"""Content decides what a file is, and nothing that runs is loaded untrusted (S7), nothing damaged either (S8)."""

import bz2
import hashlib
import io
import json
import lzma
import os
import pickle
import subprocess
import sys
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path

import lightgbm
import onnx
import pyarrow as pa
import pytest

from penstock.errors import ArtifactDamaged, ModelRefused
from penstock.models.artifacts import Artifacts
from penstock.models.interface import ModelVersion, Signature
from penstock.models.runtimes import choose, sklearn
from penstock.models.signature import offer
from penstock.testing.runtime_contract import OFFER

Keep = Callable[..., Path]


class Marker:
    """Unpickled, it makes a directory."""

    def __init__(self, place: Path) -> None:
        self.place = place

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.mkdir, (str(self.place),)


def zipped(**files: bytes) -> bytes:
    """Without the time, since ids of tests are made of it: test processes that collect in two seconds would differ."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, data in files.items():
            archive.writestr(zipfile.ZipInfo(name.replace("__", ".")), data)
    return buffer.getvalue()


def pickles(marker: Path) -> dict[str, bytes]:
    plain = {f"protocol {n}": pickle.dumps(Marker(marker), protocol=n) for n in range(6)}
    data = plain["protocol 4"]
    foreign = {"__class__": "list", "__module__": "joblib", "__loader__": "JoblibNode", "content": []}
    schema = json.dumps(foreign | {"_skops_version": "0.9"}).encode()
    return plain | {
        "zlib": zlib.compress(data),
        "bz2": bz2.compress(data),
        "xz": lzma.compress(data),
        "zip with a pickle": zipped(data__pkl=data),
        "skops that is a pickle": zipped(schema__json=data),
        "skops with a foreign loader": zipped(schema__json=schema, data__pkl=data),
        "python": f"import os\nos.mkdir({str(marker)!r})\nclass M:\n    def predict(self, rows): ...\n".encode(),
    }


KINDS = sorted(pickles(Path("x")))


@pytest.mark.parametrize("ending", [".pkl", ".joblib", ".skops", ".onnx", ".zip", ".txt", ".py", ""])
@pytest.mark.parametrize("kind", KINDS)
def test_nothing_runs_untrusted(keep: Keep, tmp_path: Path, kind: str, ending: str) -> None:
    name = "model" + ending
    artifact = keep(pickles(tmp_path / "marker")[kind], name)
    with pytest.raises(ModelRefused):
        choose.inspect(artifact, name=name, inputs=OFFER, outputs=["y"], trusted=False)
    assert not (tmp_path / "marker").exists()


@pytest.mark.parametrize("runtime", list(choose.BUILT_IN))
@pytest.mark.parametrize("kind", KINDS)
def test_nothing_runs_whatever_the_registry_says_it_is(keep: Keep, tmp_path: Path, kind: str, runtime: str) -> None:
    artifact = keep(pickles(tmp_path / "marker")[kind])
    signature = Signature(pa.schema([("a", "f8")]), pa.schema([("y", "f8")]))
    with pytest.raises(ModelRefused):
        choose.load(runtime, artifact, signature, trusted=False, name="m/1")
    assert not (tmp_path / "marker").exists()


def test_the_message_says_how_to_trust(keep: Keep, tmp_path: Path) -> None:
    artifact = keep(pickles(tmp_path / "marker")["protocol 5"])
    with pytest.raises(ModelRefused, match=r"model\.onnx is a pickle file: loading it runs its code.*trust='sha256:"):
        choose.inspect(artifact, name="model.onnx", inputs=OFFER, outputs=["y"], trusted=False)


def test_the_refusal_is_tested(keep: Keep, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A loader that forgets to ask leaves the marker; so does one that was told to trust."""
    monkeypatch.setattr(choose, "_need_trust", lambda runtime, name, trusted: None)
    monkeypatch.setitem(choose.BUILT_IN, "pickle", lambda trusted: sklearn.PickleRuntime(True))
    artifact = keep(pickles(tmp_path / "marker")["protocol 5"])
    with pytest.raises(ModelRefused, match="holds a NoneType"):
        choose.inspect(artifact, name="m", inputs=OFFER, outputs=["y"], trusted=False)
    assert (tmp_path / "marker").exists()


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (b"", "is empty"),
        (b"\0" * 100, "no model of a library known here"),
        (b"%PDF-1.7", "no model of a library known here"),
        (b"\x08\x09\x3a\xff\xff\xff", "not a whole ONNX file|not a model that ONNX"),
        (b"\x08\x09\x12\x01x", "not a model that ONNX Runtime can load"),
        (b"tree\nversion=v4\n", "end of trees"),
        (b"tree\nversion=v4\ntree_sizes=300 300\n\nTree=0\n\nend of trees\n", "tree 1 is not where the file says"),
        (b"tree\nversion=v4\ntree_sizes=300\n\nTree=0\n\nend of trees\n", "its last tree does not end where"),
        (b"tree\nversion=v4\nnum_class=x\n\nend of trees\n", "not a model that LightGBM can load"),
        (zipped(a=b"1"), "without the schema.json"),
        (zipped(schema__json=b"{}"), "not a model that skops can load"),
        (b"PK\x03\x04rest", "not a whole zip"),
    ],
)
def test_what_is_no_model_is_refused(keep: Keep, data: bytes, says: str) -> None:
    with pytest.raises(ModelRefused, match=says):
        choose.inspect(keep(data), name="m.onnx", inputs=OFFER, outputs=["y"], trusted=False)


def test_the_extension_decides_nothing(keep: Keep, booster: lightgbm.Booster, graph: onnx.ModelProto) -> None:
    for model, ending, runtime in ((booster, ".onnx", "lightgbm"), (graph, ".pkl", "onnx")):
        artifact = keep(choose.serialise(model)[0])
        found = choose.inspect(artifact, name="m" + ending, inputs=OFFER, outputs=["y"], trusted=False)
        assert found[0] == runtime


def test_a_source_of_another_kind_is_refused(keep: Keep, graph: onnx.ModelProto) -> None:
    source = offer(pa.schema([("a", "f8"), ("b", "string"), ("c", "f8")]), ["a", "b", "c"])
    with pytest.raises(ModelRefused, match="reads column 'b' as float, and its source has it as string"):
        choose.inspect(keep(graph.SerializeToString()), name="m", inputs=source, outputs=["y"], trusted=False)


def test_choosing_imports_no_model_library() -> None:
    code = "import sys; from penstock.models.runtimes import choose; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60).stdout
    assert not {"onnxruntime", "lightgbm", "sklearn", "skops", "joblib", "onnx"} & set(loaded.split())


def test_an_object_that_has_no_format_is_refused() -> None:
    with pytest.raises(ModelRefused, match="a dict cannot be stored"):
        choose.serialise({})
    assert choose.serialise(Path("m.onnx")) == (Path("m.onnx"), None)


def test_a_runtime_that_is_not_installed(keep: Keep) -> None:
    signature = Signature(pa.schema([]), pa.schema([]))
    with pytest.raises(ModelRefused, match="no runtime 'tea' is installed"):
        choose.load("tea", keep(b"x"), signature, trusted=True, name="m/1")


@pytest.mark.parametrize(("library", "extra"), [("onnxruntime", "onnx"), ("lightgbm", "lightgbm")])
def test_a_missing_extra_says_what_to_install(
    keep: Keep,
    booster: lightgbm.Booster,
    graph: onnx.ModelProto,
    library: str,
    extra: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    artifact = keep(choose.serialise(graph if extra == "onnx" else booster)[0])
    monkeypatch.setitem(sys.modules, library, None)
    with pytest.raises(ModelRefused, match=rf"pip install 'penstock-ml\[{extra}\]'"):
        choose.inspect(artifact, name="m", inputs=OFFER, outputs=["y"], trusted=False)


def registered(tmp_path: Path, graph: onnx.ModelProto) -> tuple[ModelVersion, Path]:
    store = Artifacts(tmp_path)
    digest = store.put(graph.SerializeToString())
    artifact = store.path(digest, model="m/1")
    runtime, signature = choose.inspect(artifact, name="m", inputs=OFFER, outputs=["y"], trusted=False)
    return ModelVersion("delay", 1, digest, runtime, signature, created=0), artifact


def flip(artifact: Path) -> None:
    """One byte of the producer's name: the model would load, and answer."""
    data = artifact.read_bytes().replace(b"OnnxMLTools", b"OnnxMLToolz", 1)
    artifact.chmod(0o600)
    artifact.write_bytes(data)


def test_a_damaged_artifact_is_not_loaded(tmp_path: Path, graph: onnx.ModelProto) -> None:
    version, artifact = registered(tmp_path, graph)
    choose.load_version(version, artifact)
    flip(artifact)
    with pytest.raises(ArtifactDamaged, match=f"delay/1.*registered was sha256:{version.digest}"):
        choose.load_version(version, artifact)


def test_that_check_is_tested(tmp_path: Path, graph: onnx.ModelProto, monkeypatch: pytest.MonkeyPatch) -> None:
    version, artifact = registered(tmp_path, graph)
    flip(artifact)
    monkeypatch.setattr(choose, "verify", lambda *args, **named: None)
    choose.load_version(version, artifact)
    assert hashlib.sha256(artifact.read_bytes()).hexdigest() != version.digest
