"""``make bench``: every figure in one run, into bench/results/latest.json, the README and docs/performance.md."""

import argparse
from pathlib import Path

from bench import publish

from penstock.bench.report import PARTS, run

parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument("--quick", action="store_true", help="two short runs each, and smaller scales")
parser.add_argument("--only", default="", choices=["", *PARTS])
given = parser.parse_args()
results = Path(__file__).parent / "results"
results.mkdir(exist_ok=True)
whole = not (given.quick or given.only)
run(quick=given.quick, only=given.only, out=results / "latest.json" if whole else None)
if whole:
    publish.main()
