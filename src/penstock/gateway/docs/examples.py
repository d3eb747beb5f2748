"""What to type at each door, and what comes back: templates, for ``Samples`` to fill with names of the running app."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Example:
    """``path`` with its query; ``arguments`` of curl, without the address; ``answer``: JSON, shortened."""

    path: str
    answer: str = ""
    arguments: tuple[str, ...] = ()
    title: str = ""


TYPE = "-H 'content-type: application/json'"
PLACE = '"count": 1, "positions": [{"partition": 0, "offset": 0, "last": 0, "count": 1}]'
MOVED = '"version": 1, "from": 1, "epoch": 2}'
SCORED = '{"model_name": "$model", "model_version": "1", "outputs": $outputs}'
DESCRIBED = '{"name": "$model", "versions": ["1"], "platform": "onnx", "inputs": $described, "outputs": []}'

LETTER = (
    '{"place": "$topic/0/7", "state": "dead", "round": 0, "since": "2026-01-31T12:00:00Z",'
    ' "died": "2026-01-31T12:00:00Z",'
    ' "topic": "$topic", "partition": 0, "offset": 7, "stage": "STAGE", "error": "ValueError", "reason": "…",'
    ' "traceback": "…", "attempts": 3, "id": "…", "key": null, "time": "2026-01-31T12:00:00Z", "data": "{}",'
    ' "source": null, "type": null, "subject": null, "extensions": null}'
)

SUBSCRIPTION = (
    '{"name": "$subscription", "source": "$topic", "event": null, "where": "score > 0.9", "filter": null,'
    ' "condition": "where score > 0.9", "kind": "webhook", "target": "hooks.example.com", "format": "cloudevents",'
    ' "attempts": 30, "ttl_seconds": 86400.0, "state": $state, "backlog": {"events": 12, "seconds": 3.5},'
    ' "lanes": null, "endpoint": {"delivered": 99, "failed": 1, "success_rate": 0.99, "closed_until": null, "why": "",'
    ' "last": {"ok": true, "outcome": "Delivered", "status": 204, "reason": "", "at": "2026-01-31T12:00:00Z"}}}'
)
LIVE = SUBSCRIPTION.replace("$state", '"live", "reason": "", "since": null')
PAUSED = SUBSCRIPTION.replace("$state", '"paused", "reason": "it was paused", "since": "2026-01-31T12:00:00Z"')

KEY = (
    '{"id": "Zq3T8vX1cM", "name": "acme", "state": $state, "allow": "append:$topic",'
    ' "created": "2026-01-31T12:00:00+00:00", "by": "operator", "rate": null, "expires": "2026-05-01T12:00:00+00:00",'
    ' "revoked": $revoked'
)
HOLDS = KEY.replace("$state", '"live"').replace("$revoked", "null")
REVOKED = KEY.replace("$state", '"revoked"').replace("$revoked", '"2026-02-01T12:00:00+00:00"')

EXAMPLES: dict[tuple[str, str], tuple[Example, ...]] = {
    ("POST", "/topics/{topic}/events"): (
        Example("/topics/$topic/events", f"{{{PLACE}}}", (TYPE, "-d $event"), "one event"),
        Example(
            "/topics/$topic/events?wait=$target&timeout=5s",
            f'{{{PLACE}, "results": [{{"topic": "$target", "partition": 0, "offset": 0, "id": "…", "row": 0,'
            ' "data": {}}], "complete": true}',
            (TYPE, "-d $event"),
            "one event, and what became of it",
        ),
        Example(
            "/topics/$topic/events",
            f"{{{PLACE}}}",
            ("-H 'content-type: application/cloudevents+json'", "-d $cloud"),
            "a CloudEvent, whose source and id tell repeats apart where the topic asks for it",
        ),
    ),
    ("GET", "/topics/{topic}/events"): (
        Example("/topics/$topic/events?offset=0&limit=10000", "", ("-H 'accept: application/x-ndjson'",), "lines"),
        Example(
            "/topics/$topic/events?limit=1",
            '[{"topic": "$topic", "partition": 0, "offset": 0, "id": "…", "time": "…", "key": null,'
            ' "source": "/$app/$topic", "type": "$topic", "data": $event}]',
            title="an array",
        ),
    ),
    ("GET", "/topics"): (
        Example(
            "/topics",
            '[{"name": "$topic", "partitions": 4, "key": null, "encoding": "arrow", "events": 3, "bytes": 900}]',
        ),
    ),
    ("GET", "/topics/{topic}"): (
        Example(
            "/topics/$topic",
            '{"name": "$topic", "key": null, "schema": [{"name": "n", "type": "int64", "optional": false}],'
            ' "retain_seconds": 604800.0, "retain_bytes": null, "dedupe_seconds": null, "encoding": "arrow",'
            ' "partitions": [{"partition": 0, "earliest": 0, "end": 3, "events": 3, "bytes": 900}]}',
        ),
    ),
    ("GET", "/groups"): (
        Example(
            "/groups",
            '[{"group": "STAGE", "topic": "$topic", "partition": 0, "through": 2, "owner": "worker-1",'
            ' "lag_events": 0, "lag_seconds": 0.0}]',
        ),
    ),
    ("POST", "/domains/{domain}/events"): (
        Example("/domains/$domain/events", f"{{{PLACE}}}", (TYPE, "-d $addressed"), "each event says its topic"),
    ),
    ("POST", "/domains/{domain}/topics/{topic}/events"): (
        Example("/domains/$domain/topics/$tenant/events", f"{{{PLACE}}}", (TYPE, "-d $ofdomain"), "all are of one"),
    ),
    ("GET", "/domains/{domain}/events"): (
        Example("/domains/$domain/events?limit=10000", "", ("-H 'accept: application/x-ndjson'",), "lines"),
    ),
    ("GET", "/domains/{domain}/topics/{topic}/events"): (
        Example(
            "/domains/$domain/topics/$tenant/events?limit=100", "", ("-H 'accept: application/x-ndjson'",), "lines"
        ),
    ),
    ("GET", "/domains/{domain}/topics"): (
        Example("/domains/$domain/topics?after=aaa&limit=1", '{"topics": ["$tenant"], "next": "$tenant"}'),
    ),
    ("GET", "/domains"): (Example("/domains", '[{"name": "$domain", "topics": 1}]'),),
    ("POST", "/eventgrid/{topic}/api/events"): (
        Example(
            "/eventgrid/$topic/api/events?api-version=2018-01-01",
            "",
            (TYPE, "-H 'aeg-sas-key: KEY'", "-d $grid"),
            "Event Grid's schema; any key will do, for none is asked for",
        ),
        Example(
            "/eventgrid/$topic/api/events",
            '{"validationResponse": "CODE"}',
            (TYPE, "-H 'aeg-event-type: SubscriptionValidation'", "-d $validation"),
            "the question of a new subscription",
        ),
    ),
    ("OPTIONS", "/eventgrid/{topic}/api/events"): (
        Example(
            "/eventgrid/$topic/api/events",
            "",
            ("-X OPTIONS -D -", "-H 'webhook-request-origin: eventgrid.azure.net'"),
        ),
    ),
    ("GET", "/dead"): (Example("/dead?topic=$topic&since=2h", f"[{LETTER}]"),),
    ("GET", "/dead/{topic}/{partition}/{offset}"): (Example("/dead/$topic/0/7", f"[{LETTER}]"),),
    ("POST", "/dead/redrive"): (
        Example(
            "/dead/redrive",
            '{"redriven": 0, "left": 12, "refused": 0, "reasons": [], "examples": [], "waiting": [], '
            '"at": "2026-01-31T12:00:00Z"}',
            (TYPE, """-d '{"topic": "$topic", "since": "2h", "dry": true}'"""),
            "what would be done",
        ),
        Example(
            "/dead/redrive",
            '{"redriven": 1, "left": 0, "refused": 0, "reasons": [], "examples": [], "waiting": [], '
            '"at": "2026-01-31T12:00:00Z"}',
            (TYPE, """-d '{"places": ["$topic/0/7"]}'"""),
            "one event",
        ),
    ),
    ("POST", "/dead/drop"): (
        Example("/dead/drop", '{"dropped": 1, "left": 0}', (TYPE, """-d '{"places": ["$topic/0/7"]}'""")),
    ),
    ("GET", "/subscriptions"): (Example("/subscriptions", f"[{LIVE}]"),),
    ("GET", "/subscriptions/{subscription}"): (Example("/subscriptions/$subscription", LIVE),),
    ("POST", "/subscriptions/{subscription}/pause"): (
        Example("/subscriptions/$subscription/pause", PAUSED, ("-X POST",)),
    ),
    ("POST", "/subscriptions/{subscription}/resume"): (
        Example("/subscriptions/$subscription/resume", LIVE, ("-X POST",)),
    ),
    ("GET", "/keys"): (Example("/keys", f"[{HOLDS}}}]"),),
    ("POST", "/keys"): (
        Example(
            "/keys",
            f'{HOLDS}, "key": "psk_…"}}',
            (TYPE, '-d \'{"name": "acme", "allow": "append:$topic", "days": 90}\''),
        ),
    ),
    ("DELETE", "/keys/{key}"): (Example("/keys/Zq3T8vX1cM", f"{REVOKED}}}", ("-X DELETE",)),),
    ("GET", "/models"): (
        Example(
            "/models", '[{"name": "$model", "aliases": {"champion": {"version": 1, "epoch": 1}}, "versions": [1]}]'
        ),
    ),
    ("GET", "/models/{model}"): (
        Example(
            "/models/$model",
            '{"name": "$model", "aliases": {"champion": {"version": 1, "epoch": 1}}, "versions": [{"version": 1,'
            ' "digest": "…", "runtime": "onnx", "created": 1767225600000000, "trusted": false,'
            ' "dataset_id": "2026-01", "metrics": {}, "inputs": [], "outputs": []}],'
            ' "scorers": [{"process": "worker-1", "stage": "STAGE", "version": 1, "behind": ""}]}',
        ),
    ),
    ("POST", "/models/{model}/versions"): (
        Example(
            "/models/$model/versions?dataset_id=2026-01",
            '{"model": "$model", "version": 2, "digest": "…", "runtime": "onnx"}',
            ("-H 'content-type: application/octet-stream'", "--data-binary @model.onnx"),
        ),
    ),
    ("PUT", "/models/{model}/aliases/{alias}"): (
        Example(
            "/models/$model/aliases/canary",
            f'{{"model": "$model", "alias": "canary", {MOVED}',
            ("-X PUT", TYPE, """-d '{"version": 1}'"""),
        ),
    ),
    ("POST", "/models/{model}/promote"): (
        Example(
            "/models/$model/promote",
            f'{{"model": "$model", "alias": "champion", {MOVED}',
            (TYPE, """-d '{"version": 1, "expected": 1}'"""),
        ),
    ),
    ("POST", "/v2/models/{model}/infer"): (Example("/v2/models/$model/infer", SCORED, (TYPE, "-d $inputs")),),
    ("GET", "/v2/models/{model}"): (Example("/v2/models/$model", DESCRIBED),),
    ("GET", "/v2/models/{model}/ready"): (Example("/v2/models/$model/ready", '{"name": "$model", "ready": true}'),),
    ("POST", "/v2/models/{model}/versions/{version}/infer"): (
        Example("/v2/models/$model/versions/1/infer", SCORED, (TYPE, "-d $inputs")),
    ),
    ("GET", "/v2/models/{model}/versions/{version}"): (Example("/v2/models/$model/versions/1", DESCRIBED),),
    ("GET", "/v2/models/{model}/versions/{version}/ready"): (
        Example("/v2/models/$model/versions/1/ready", '{"name": "$model", "ready": true}'),
    ),
    ("GET", "/v2"): (Example("/v2", '{"name": "penstock", "version": "2", "extensions": ["binary_tensor_data"]}'),),
    ("GET", "/v2/health/live"): (Example("/v2/health/live", '{"live": true}'),),
    ("GET", "/v2/health/ready"): (Example("/v2/health/ready", '{"ready": true}'),),
    ("GET", "/healthz"): (Example("/healthz", '{"status": "ok"}'),),
    ("GET", "/readyz"): (Example("/readyz", '{"ready": true, "reasons": [], "warnings": []}'),),
    ("GET", "/metrics"): (Example("/metrics"),),
}
