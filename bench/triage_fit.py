"""Fits the points of the mail signals; the file that it writes is read by people.

    python -m bench.triage_fit --mail FOLDER --write

Logistic regression by projected gradient: a sign of risk counts at least 0, a sign of trust at
most 0, a signal that fewer than 20 mails give counts nothing, and points set by rule stay as set.
The weights are multiplied by ten and rounded. Ham counts four times, so that a false alarm is dear.
"""

from __future__ import annotations

import argparse
import base64
import gzip
import json
import math
import re
import sys
from collections import Counter
from pathlib import Path
from typing import NamedTuple

from bench.figures import tell
from roundsman.rules.mail.message import fold, organisation, read_message
from roundsman.rules.mail.names import FREE_MAIL
from roundsman.rules.mail.score import FIXED_POINTS, POINTS_PER_UNIT, RELATION_POINTS, find_signals

TRUST = frozenset(
    [
        "answers_in_thread",
        "brand_is_the_sender",
        "came_by_a_list",
        "links_lead_home",
        "talks_of_code",
    ]
)
MAILS_PER_SIGNAL_MIN = 20
ROUNDS = 400
FOLDS = 5
STEP = 0.5
SHRINK = 2.0
WORTH = {"ham": 4.0, "spam": 1.0, "phishing": 2.0}
POINTS_MAX = 60
WEIGHTS = Path(__file__).parents[1] / "roundsman/rules/mail/weights.py"


class Sample(NamedTuple):
    """One labelled mail and the signals that it gives."""

    key: str
    label: str
    subtype: str
    pair: str
    campaign: str
    signals: tuple[str, ...]


class Weights(NamedTuple):
    """Integer points and where they start."""

    start: int
    points: dict[str, int]

    def raw(self, sample: Sample) -> int:
        """The sum for one mail, with the points set by rule."""
        return self.start + sum(
            FIXED_POINTS.get(name, self.points.get(name, 0)) for name in sample.signals
        )


def read_rows(folder: Path, name: str) -> list[dict[str, str]]:
    """The labelled mails of one file."""
    with gzip.open(folder / name, "rt", encoding="utf-8") as lines:
        return [json.loads(line) for line in lines]


def samples_of(folder: Path) -> list[Sample]:
    """Mails and twins with their signals; a campaign is a sender's domain or a subject."""
    found: list[Sample] = []
    parent: dict[str, str] = {}

    def root(key: str) -> str:
        while parent.setdefault(key, key) != key:
            key = parent[key]
        return key

    for name in ("dev.jsonl.gz", "twins.dev.jsonl.gz"):
        for row in read_rows(folder, name):
            mail = read_message(base64.b64decode(row["raw_base64"]))
            own = organisation(mail.domain)
            keys = [f"id {row['id']}", "subject " + re.sub(r"[^a-z]", "", fold(mail.subject))[:40]]
            if own and own not in FREE_MAIL:
                keys.append(f"domain {own}")
            if row.get("brand"):
                keys = [f"brand {row['brand']}"]
            for key in keys[1:]:
                parent[root(key)] = root(keys[0])
            signals = tuple(sorted({signal for _, signal, _ in find_signals(mail)}))
            kind = "twin" if "pair" in row else row["subtype"]
            pair = str(row.get("pair", ""))
            found.append(Sample(row["id"], row["label"], kind, pair, keys[0], signals))
    return [sample._replace(campaign=root(sample.campaign)) for sample in found]


def fit(samples: list[Sample]) -> Weights:
    """The points for these mails."""
    counts = Counter(name for sample in samples for name in sample.signals)
    given = FIXED_POINTS.keys() | RELATION_POINTS.keys()
    names = sorted(n for n, k in counts.items() if k >= MAILS_PER_SIGNAL_MIN and n not in given)
    place = {name: at for at, name in enumerate(names)}
    rows = [[place[name] for name in sample.signals if name in place] for sample in samples]
    ahead = [
        sum(FIXED_POINTS.get(name, 0) for name in sample.signals) / POINTS_PER_UNIT
        for sample in samples
    ]
    wanted = [float(sample.label != "ham") for sample in samples]
    worth = [WORTH[sample.label] for sample in samples]
    weights, start = [0.0] * len(names), -2.0
    squares, square = [1e-6] * len(names), 1e-6
    for _ in range(ROUNDS):
        slope, slope_start = [SHRINK * weight for weight in weights], 0.0
        for row, base, want, worthy in zip(rows, ahead, wanted, worth, strict=True):
            total = start + base + sum(weights[at] for at in row)
            error = worthy * (1 / (1 + math.exp(-max(-50.0, min(50.0, total)))) - want)
            slope_start += error
            for at in row:
                slope[at] += error
        square += slope_start**2
        start -= STEP * slope_start / math.sqrt(square)
        for at, name in enumerate(names):
            squares[at] += slope[at] ** 2
            weight = weights[at] - STEP * slope[at] / math.sqrt(squares[at])
            weights[at] = min(0.0, weight) if name in TRUST else max(0.0, weight)
    points = {name: round(POINTS_PER_UNIT * weights[place[name]]) for name in names}
    bounded = {n: max(-POINTS_MAX, min(POINTS_MAX, p)) for n, p in points.items() if p}
    return Weights(round(POINTS_PER_UNIT * start), bounded)


def out_of_fold(samples: list[Sample]) -> dict[str, int]:
    """Raw points of each mail by weights that never saw its campaign."""
    groups = Counter(sample.campaign for sample in samples)
    loads, fold_of = [0] * FOLDS, dict[str, int]()
    for group, size in sorted(groups.items(), key=lambda item: (-item[1], item[0])):
        lightest = loads.index(min(loads))
        fold_of[group], loads[lightest] = lightest, loads[lightest] + size
    found: dict[str, int] = {}
    for part in range(FOLDS):
        tell(f"fold {part + 1} of {FOLDS}")
        learned = fit([sample for sample in samples if fold_of[sample.campaign] != part])
        held = (sample for sample in samples if fold_of[sample.campaign] == part)
        found |= {sample.key: learned.raw(sample) for sample in held}
    return found


def as_source(weights: Weights) -> str:
    """The weights as the module that the score reads."""
    rows = sorted(weights.points.items(), key=lambda item: (-item[1], item[0]))
    lines = "".join(f'    "{name}": {points},\n' for name, points in rows)
    return (
        '"""Points of the mail signals, written by `python -m bench.triage_fit --write`.\n\n'
        "Ten points are one unit of log odds. The mails that they were fitted on are public\n"
        "collections of 2002 to 2026, in which most ham is from mailing lists.\n"
        '"""\n\nfrom __future__ import annotations\n\n'
        f"START = {weights.start}\nPOINTS: dict[str, int] = {{\n{lines}}}\n"
    )


def main() -> int:
    """Fit on the whole folder."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--mail", type=Path, required=True, help="folder with dev.jsonl.gz")
    parser.add_argument("--write", action="store_true", help="replace the product's weights")
    given = parser.parse_args()
    if not (given.mail / "dev.jsonl.gz").exists():
        tell(f"no 'dev.jsonl.gz' in '{given.mail}'; name the folder of labelled mail with --mail")
        return 2
    source = as_source(fit(samples_of(given.mail)))
    if given.write:
        WEIGHTS.write_text(source)
    else:
        print(source)
    return 0


if __name__ == "__main__":
    sys.exit(main())
