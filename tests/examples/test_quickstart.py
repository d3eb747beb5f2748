"""The README's example, as the README runs it: a server, one event in, its score out in the same answer."""

from __future__ import annotations

from pathlib import Path

import httpx

from tests.e2e import rig

APP = Path(__file__).parents[2] / "examples" / "quickstart" / "app.py"


def test_a_payment_is_scored_in_the_answer_to_its_publishing(tmp_path: Path) -> None:
    with rig.running(APP, tmp_path / "data", workers=1) as running:
        payment = {"id": "p1", "card": "c7", "amount": 120.0, "country": "US"}
        answer = httpx.post(
            f"{running.url}/topics/payments/events",
            json=payment,
            params={"wait": "scores", "timeout": "20s"},
            timeout=30,
        ).json()
        assert answer["complete"], answer
        (scored,) = answer["results"]
        assert scored["data"] == {"id": "p1", "risk": 0.36}
        assert (scored["model"], scored["version"], scored["parent"]["topic"]) == ("risk", 1, "features")
        assert httpx.get(f"{running.url}/topics/scores/events").json()[0]["id"] == scored["id"]
        assert running.stop() == 0
