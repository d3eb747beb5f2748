"""Reviews models: what is registered is tried on October's flights, and promoted if it is better than the champion.

    REVIEW_KEY=whsec_… python reviewer.py [PORT]

It knows of Penstock what any program outside of it may know: a signed request in Event Grid's schema, and the doors of
the gateway at PENSTOCK_URL. The models' files are in the folder where it is started, and each is known by its SHA-256.
"""

import hashlib
import json
import os
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import onnxruntime
import polars as pl
from standardwebhooks import Webhook, WebhookVerificationError

import penstock as ps

REGISTERED = "Microsoft.MachineLearningServices.ModelRegistered"
INPUTS = ["dep_delay", "distance", "carrier_code"]
one_by_one = threading.Lock()  # two models that come at once are not compared with the same champion


def review(name: str, version: int) -> str:
    """What was found. Nothing changes where the version is no better, so an event that comes again does no harm."""
    with one_by_one, ps.connect(os.environ.get("PENSTOCK_URL", "http://127.0.0.1:8000")) as server:
        model = server.model(name)
        champion = model["aliases"]["champion"]["version"]
        digests = {each["version"]: each["digest"] for each in model["versions"]}
        new, old = minutes_off(digests[version]), minutes_off(digests[champion])
        better = new < old
        if better:  # and unless somebody else has promoted one meanwhile: then the event comes again
            server.set_alias(name, "champion", version, expected=champion)
    verdict = "promoted" if better else "not promoted"
    return f"{name}/{version} is {new:.2f} minutes off, {name}/{champion} {old:.2f}: {verdict}"


def minutes_off(digest: str) -> float:
    """How far the model with this SHA-256 is off on the flights of October, in the mean."""
    file = next(f for f in Path().glob("*.onnx") if hashlib.sha256(f.read_bytes()).hexdigest() == digest)
    session = onnxruntime.InferenceSession(file)
    flown = pl.read_parquet("holdout.parquet")
    (found,) = session.run(None, {"input": flown.select(pl.col(INPUTS).cast(pl.Float32)).to_numpy()})
    return float(abs(found[:, 0] - flown["actual"].to_numpy()).mean())


class Handler(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["content-length"]))  # the bytes as they came
        try:
            (event,) = Webhook(os.environ["REVIEW_KEY"]).verify(body, dict(self.headers))
        except WebhookVerificationError as error:
            self.answer(401, str(error))
            return
        try:
            if event["eventType"] == REGISTERED:
                print(review(event["data"]["ModelName"], event["data"]["ModelVersion"]), flush=True)
            self.answer(204)
        except Exception as error:  # it is sent again, twice at most
            print(f"{json.dumps(event)}: {error!r}", file=sys.stderr, flush=True)
            self.answer(500, repr(error))

    def answer(self, status: int, why: str = "") -> None:
        self.send_response(status)
        self.send_header("content-length", str(len(why.encode())))
        self.end_headers()
        self.wfile.write(why.encode())

    def log_message(self, *_: object) -> None: ...


if __name__ == "__main__":
    server = ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1]) if len(sys.argv) > 1 else 9000), Handler)
    print(f"reviewing at http://127.0.0.1:{server.server_port}/models", flush=True)
    server.serve_forever()
