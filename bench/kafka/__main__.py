"""``make bench-kafka``: the flights job on Kafka by Penstock, by hand and by peers, into docs/performance.md."""

import argparse
from pathlib import Path

from bench.kafka import publish
from bench.kafka.report import PROGRAMS, run

RESULT = Path(__file__).parent.parent / "results" / "kafka.json"

parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument("--rounds", type=int, default=3, help="runs of each program")
parser.add_argument("--only", nargs="*", default=[], choices=[program.name for program in PROGRAMS])
given = parser.parse_args()
RESULT.parent.mkdir(exist_ok=True)
run(rounds=given.rounds, only=given.only, out=RESULT)
if not given.only:
    publish.main(RESULT)
