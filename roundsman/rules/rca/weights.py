"""How much each sign of a turn speaks for it having decided the run."""

from __future__ import annotations

# Conditional logit (D. McFadden, Conditional logit analysis of qualitative choice behavior, 1974):
# of a run's turns the decisive one is drawn with odds exp(sum of weight times sign). Estimated by
# `bench.rca` from runs whose decisive step people named, or a fault was put in; of some 200 signs
# the 42 that carry the result were kept. Signs and shapes are those of `turns`.
WEIGHTS: dict[str, float] = {
    "after_answer": -0.44,
    "after_failure": -1.28,
    "after_giving_up": -0.42,
    "answers_without_call": 0.66,
    "assumes_without_call": 0.58,
    "calls": 0.73,
    "code": 0.93,
    "first_call": -0.37,
    "last": -0.49,
    "last_but_one": -0.39,
    "length": 1.46,
    "most_active": 0.39,
    "most_active_begins": -0.31,
    "new_agent": 0.7,
    "off_task": 0.78,
    "opens": -1.84,
    "order_log": -0.75,
    "order_share": -0.47,
    "reads_out": 1.4,
    "repeats": -0.34,
    "second": -0.92,
    "user": -0.45,
    "user_late": 1.29,
    "user_opens": -0.91,
    "chat.concludes": -1.23,
    "chat.order_log": 0.64,
    "chat.verifies_without_call": -1.62,
    "led.assumes": -1.0,
    "led.code": -0.89,
    "led.concludes": 0.58,
    "led.order_share": 0.91,
    "solo.order_log": -0.56,
    "talk.first_worker": 0.75,
    "talk.last": -0.88,
    "talk.opener": -1.01,
    "talk.tells_without_call": 1.4,
    "team.after_answer": -1.19,
    "team.answers_without_call": -0.29,
    "team.calls": 0.79,
    "team.gives_up": 1.2,
    "team.last": 0.82,
    "team.tells_without_call": 0.41,
}
