"""How well the mail rules tell phishing from mail, and how fast.

    python -m bench.triage --mail FOLDER [--folds]

The folder holds dev.jsonl.gz and twins.dev.jsonl.gz; ROUNDSMAN_BENCH_MAIL names it as well.
Without --folds the figures are those of the shipped weights, which saw these mails: in sample.
With it each mail is judged by weights that never saw its campaign: out of fold.
"""

from __future__ import annotations

import argparse
import base64
import os
import sys
import time
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path

from bench.figures import Emitter, Figure, tell
from bench.triage_fit import Sample, Weights, out_of_fold, read_rows, samples_of
from roundsman.rules.mail.score import (
    UNWANTED_SCORE_MIN,
    RiskLevel,
    judge_content,
    level_of,
    score_of,
)
from roundsman.rules.mail.weights import POINTS, START

# At most this share of the ham may stand above the threshold of the recall.
FALSE_POSITIVES_MAX = 0.0014
TIMED_MAILS = 200


def _share(samples: list[Sample], holds: Callable[[Sample], bool]) -> float:
    return sum(map(holds, samples)) / len(samples) if samples else 0.0


def _figures(samples: list[Sample], raw: dict[str, int]) -> list[Figure]:
    mails = [sample for sample in samples if sample.subtype != "twin"]
    ham = [sample for sample in mails if sample.label == "ham"]
    phishing = [sample for sample in mails if sample.label == "phishing"]
    hard = [sample for sample in ham if sample.subtype.startswith("hard")]
    allowed = int(len(ham) * FALSE_POSITIVES_MAX)
    limit = sorted((raw[sample.key] for sample in ham), reverse=True)[allowed]

    def unwanted(sample: Sample) -> bool:
        return score_of(raw[sample.key]) >= UNWANTED_SCORE_MIN

    def high(sample: Sample) -> bool:
        return level_of(score_of(raw[sample.key])) in {RiskLevel.HIGH, RiskLevel.CRITICAL}

    right = sum(unwanted(sample) for sample in mails if sample.label != "ham")
    wrong = sum(unwanted(sample) != (sample.label != "ham") for sample in mails)
    pairs: dict[str, list[bool]] = defaultdict(list)
    for sample in samples:
        if sample.subtype == "twin":
            pairs[sample.pair].append(unwanted(sample) == (sample.label == "phishing"))
    both = sum(all(pair) for pair in pairs.values()) / max(1, len(pairs))
    f1 = 2 * right / max(1, 2 * right + wrong)
    recall = _share(phishing, lambda sample: raw[sample.key] > limit)
    found = [
        Figure("phishing_recall", recall, "share", goal=0.85, better="higher"),
        Figure("unwanted_f1", f1, "F1", goal=0.975, better="higher"),
        Figure("hard_ham_high", _share(hard, high), "share", goal=0.01),
        Figure("phishing_high", _share(phishing, high), "share", goal=0.80, better="higher"),
        Figure("twins_both_right", both, "share", goal=0.90, better="higher"),
    ]
    for subtype in sorted({sample.subtype for sample in mails}):
        of_type = [sample for sample in mails if sample.subtype == subtype]
        found.append(Figure(f"unwanted_{subtype}", _share(of_type, unwanted), "share"))
    return found


def _speed(folder: Path) -> Figure:
    rows = read_rows(folder, "dev.jsonl.gz")[:TIMED_MAILS]
    contents = [base64.b64decode(row["raw_base64"]) for row in rows]
    began = time.process_time()
    for content in contents:
        judge_content(content)
    spent = time.process_time() - began
    return Figure("messages_per_second", len(rows) / spent, "1/s", goal=400, better="higher")


def main() -> int:
    """Print the figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true", help="one JSON object a line")
    parser.add_argument("--folds", action="store_true", help="judge by weights of other campaigns")
    parser.add_argument("--mail", default=os.environ.get("ROUNDSMAN_BENCH_MAIL", ""))
    given = parser.parse_args()
    folder = Path(given.mail)
    if not given.mail or not (folder / "dev.jsonl.gz").exists():
        tell(f"no 'dev.jsonl.gz' in '{given.mail}'; name the folder of labelled mail with --mail")
        return 2
    emitter = Emitter(given.json, {})
    samples = samples_of(folder)
    shipped = Weights(START, POINTS)
    inside = {sample.key: shipped.raw(sample) for sample in samples}
    tell("out of fold" if given.folds else "in sample: the weights were fitted on these mails")
    for figure in _figures(samples, out_of_fold(samples) if given.folds else inside):
        emitter.emit(figure)
    emitter.emit(_speed(folder))
    return emitter.exit_code()


if __name__ == "__main__":
    sys.exit(main())
