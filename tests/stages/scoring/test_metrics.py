"""What calls to a model come to."""

from __future__ import annotations

import pyarrow as pa

from penstock.models.interface import ModelVersion, Signature
from penstock.stages.scoring.metrics import load_failed, observed
from penstock.telemetry.metrics import exposition


def test_a_call_is_a_duration_with_its_rows_or_an_error() -> None:
    version = ModelVersion("measured", 3, "0" * 64, "onnx", Signature(pa.schema([]), pa.schema([])), created=0)
    observed(version, 0, 0.5)  # it only loaded the model
    assert "measured" not in exposition().decode()
    observed(version, 300, 0.5)
    observed(version, 300, None)
    load_failed(version)
    lines = exposition().decode().splitlines()
    labels = 'model="measured",runtime="onnx",version="3"'
    assert f'penstock_score_duration_seconds_bucket{{le="0.25",{labels}}} 0.0' in lines
    assert f'penstock_score_duration_seconds_bucket{{le="0.5",{labels}}} 1.0' in lines
    assert f"penstock_score_batch_rows_sum{{{labels}}} 300.0" in lines
    assert f"penstock_score_errors_total{{{labels}}} 1.0" in lines
    assert f"penstock_model_load_errors_total{{{labels}}} 1.0" in lines
