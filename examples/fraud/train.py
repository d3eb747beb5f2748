"""Trains fraud.onnx for app.py on 20,000 payments that it makes up, always the same ones.

Writes service/risks too, what the app asks for at start: the risk of each merchant.
"""

import json
from pathlib import Path

import lightgbm
import numpy as np
from onnx import save_model
from onnxmltools import convert_lightgbm
from onnxmltools.convert.common.data_types import FloatTensorType

INPUTS = ["amount", "merchant_risk"]
HERE = Path(__file__).parent


def main() -> None:
    random = np.random.default_rng(11)
    risks = random.beta(1, 9, 200).round(3)
    table = [{"merchant": f"m{n}", "merchant_risk": risk} for n, risk in enumerate(risks.tolist())]
    (HERE / "service").mkdir(exist_ok=True)
    (HERE / "service" / "risks").write_text(json.dumps(table))

    amounts, merchants = random.exponential(80, 20_000), random.integers(0, len(risks), 20_000)
    fraud = random.random(20_000) < np.clip(risks[merchants] * amounts / 200, 0, 1)
    rows = lightgbm.Dataset(np.column_stack([amounts, risks[merchants]]), label=fraud)
    booster = lightgbm.train({"objective": "regression", "seed": 11, "deterministic": True, "verbose": -1}, rows, 40)
    export(booster)
    print(f"fraud.onnx: trained on {len(fraud):,} payments to {len(risks)} merchants")


def export(booster: lightgbm.Booster) -> None:
    """One float32 input of two columns, whose names the file says; one number a row."""
    kind = [("input", FloatTensorType([None, len(INPUTS)]))]
    model = convert_lightgbm(booster, initial_types=kind, target_opset=15, zipmap=False)
    names = model.metadata_props.add()
    names.key, names.value = "penstock.inputs", json.dumps(INPUTS)
    save_model(model, str(HERE / "fraud.onnx"))


if __name__ == "__main__":
    main()
