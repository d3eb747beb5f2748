"""What doors read of queries and bodies, in the words of /openapi.json and /docs: names and content types, with a line
on each."""

from __future__ import annotations

from .doors import dead, read

WAITED_FOR = (
    ("wait", "a topic downstream: the answer carries the rows that it got from these events"),
    (
        "timeout",
        "how long to wait for them: 200ms, 2s; 1s when absent. Then the answer is 200 all the same",
    ),
)
PUBLISHED = (
    ("application/json", "one event or an array of them; with ce-* headers a CloudEvent in binary mode"),
    ("application/x-ndjson", "one event a line"),
    ("application/cloudevents+json", "one CloudEvent"),
    ("application/cloudevents-batch+json", "an array of CloudEvents"),
    ("application/vnd.apache.arrow.stream", "record batches with the topic's columns"),
)
READ = (
    ("partition", "one partition; all of them when absent"),
    ("offset", "the first to read, in each partition; or the header penstock-next of the answer before"),
    ("limit", f"events at most, {read.LIMIT} when absent, up to {read.MOST}"),
    ("wait", "how long to wait when there is nothing: 200ms, 2s"),
)
AS_EVENTS = (
    ("format", "of subscriptions' letters alone, as Event Grid's dead-letter store has them: eventgrid or cloudevents"),
)
WHICH = (
    ("topic", "of events of this topic"),
    ("stage", "of this stage"),
    ("error", "with this error, such as ValueError"),
    ("reason", "whose reason has this in it"),
    ("since", "that died since: 2h ago, or 2026-01-31T12:00:00Z"),
    ("until", "that died before"),
    ("state", "open (dead or redriven; when absent), dead, redriven, done, dropped or all"),
    ("limit", f"the latest so many, {dead.LIMIT} when absent, up to {dead.MOST}"),
    *AS_EVENTS,
)
SELECTION = (
    (
        "application/json",
        "an object of topic, stage, error, reason, since, until, places (TOPIC/PARTITION/OFFSET): a letter must fit "
        "all that are given; limit: leave what was put back so often, 3 when absent; "
        "most: letters of this request; dry: only say what would be done",
    ),
)
REGISTER = (
    (
        "trust",
        "sha256:HEX of an artifact that may execute code when it is loaded; with the header Authorization: Bearer and "
        "the secret in run/token of the data directory",
    ),
    ("dataset_id", "what it was trained on"),
    ("metrics", "a JSON object of numbers"),
    ("outputs", "names of the output columns, with commas, for a model that the app does not declare"),
    ("inputs", "names of the input columns, likewise"),
)
ARTIFACT = (
    ("application/octet-stream", "the artifact, as it is; at most half of runner_memory, which is 1 GiB when not set"),
)
MOVE = (("application/json", "version, and if wanted expected: where the alias is now; 409 when it is not there"),)
TENSORS = (
    ("application/json", "a tensor a column, [N] or [N, 1]; or one tensor [N, k] that holds all inputs in order"),
    (
        "application/octet-stream",
        "the same with binary tensors after the JSON, whose length Inference-Header-Content-Length gives",
    ),
)
TAKEN_UP = (
    ("wait", "how long to wait for this host's scorers to take the version, such as 5s; complete says if they did"),
)
BACK = (("application/json", "nothing, or alias: which one; champion when absent"),)
