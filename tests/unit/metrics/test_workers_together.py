"""A node with many workers reports their mean and maximum, and names the workers that matter."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import pytest

from amoc.metrics.health_figures import SENT, WorkerPoint
from amoc.metrics.workers_together import (
    HELD,
    MOST_PAST,
    NamedWorkers,
    Together,
    labelled,
    mean_of,
    named_every,
    sent_together,
)
from amoc.results.generator_health import Health
from amoc.results.series import Point

NUMBERS = range(32, 64)


def workers(**cpu: float) -> list[WorkerPoint]:
    """Healthy workers of a node; ``w40`` is the share of a core that worker 40 uses."""
    return [
        WorkerPoint("", number, cpu=cpu.get(f"w{number}", 0.3), lag_p99_s=number / 1e5, fd_limit=9)
        for number in NUMBERS
    ]


def numbers(some: list[WorkerPoint]) -> list[int]:
    return [one.worker for one in some]


def test_healthy_workers_are_named_in_rotation_next_to_the_busiest():
    told, times = NamedWorkers(), Counter[int]()
    for _ in NUMBERS:
        some = numbers(told.choose(workers(w40=0.5)))
        assert 40 in some
        assert len(some) <= 2
        times.update(some)
    assert times == {number: len(NUMBERS) if number == 40 else 1 for number in NUMBERS}


def test_a_worker_past_a_limit_stays_named_for_the_hold_time():
    told, shares = NamedWorkers(), [0.95, *[0.4] * (HELD + len(NUMBERS))]
    seen = [60 in numbers(told.choose(workers(w60=cpu, w33=0.5))) for cpu in shares]
    assert seen[:HELD] == [True] * HELD
    assert sum(seen[HELD:]) <= 2  # by rotation


def test_of_many_workers_past_a_limit_the_first_ones_stay_named():
    told = NamedWorkers()
    told.choose(workers(w50=1.0))
    late = {f"w{number}": 1.0 for number in range(40, 60)}
    for _ in range(10):
        some = numbers(told.choose(workers(**late)))
        assert {50, *range(40, 40 + MOST_PAST - 1)} <= {*some}
        assert len(some) <= MOST_PAST + 2


@pytest.mark.parametrize(
    ("layout", "every"),
    [
        *(([32], 0), ([32] * 8, 0), ([2] * 1000, 0)),
        *(([32] * 9, 1), ([32] * 128, 1), ([32] * 250, 2), ([32] * 1000, 8)),
    ],
)
def test_the_naming_interval_grows_with_the_number_of_nodes_and_workers(layout, every):
    assert named_every(layout) == every


def test_with_many_nodes_healthy_workers_are_named_in_some_samples_only():
    points = [
        [replace(one, worker=first + at) for at, one in enumerate(workers(w40=0.5))]
        for first in range(0, 320, 32)
    ]
    told, named = [NamedWorkers() for _ in points], Counter[int]()
    for _ in range(8 * len(NUMBERS)):
        some = [one.choose(mine, 8) for one, mine in zip(told, points, strict=True)]
        assert sum(map(bool, some)) in (1, 2), "nodes by turns"
        named.update(number for one in some for number in numbers(one))
    assert {*named} == {*range(320)}
    assert named[8] == len(NUMBERS)
    late = [replace(one, cpu=1.0) if one.worker == 7 else one for one in points[0]]
    assert all(7 in numbers(told[0].choose(late, 8)) for _ in range(20))


def test_a_nodes_summary_has_the_mean_and_maximum_of_each_figure():
    told = sent_together([WorkerPoint("", 0, cpu=0.2, gc_s=0.1), WorkerPoint("", 1, 3, cpu=0.5)])
    node0 = Together.of("node0", 2, told, 1.5)
    assert {len(one) for one in told} == {len(SENT)}
    assert (node0.mean.cpu, node0.mean.gc_s) == (0.35, 0.075)
    assert (node0.highest.cpu, node0.highest.gc_s, node0.highest.incarnation) == (0.5, 0.15, 3)
    node1 = replace(node0, node="node1", workers=6, mean=replace(node0.mean, cpu=0.75))
    assert mean_of([node0, node1], "cpu") == pytest.approx((0.2 + 0.5 + 6 * 0.75) / 8)
    assert mean_of([], "cpu") is None
    assert labelled([WorkerPoint("node0", 7)], [node0]) == {
        ("node0", "7"): WorkerPoint("node0", 7),
        ("node0", "mean"): node0.mean,
        ("node0", "highest"): node0.highest,
    }


ENDS = 40


@pytest.mark.parametrize(
    "shares",
    [
        [0.3] * ENDS,
        [0.3] * 10 + [1.0] * 12 + [0.3] * (ENDS - 22),
        [1.0] * 4 + [0.3] * (ENDS - 4),
        [0.5, 1.0] * (ENDS // 2),
        [0.3, 1.0, 0.3, 0.3, 0.3] * (ENDS // 5),
        [0.8, 1.0, 1.0] * (ENDS // 3),
        [1.0] * ENDS,
    ],
)
def test_a_worker_is_judged_as_if_every_second_of_it_were_reported(shares):
    """Up to two seconds may be missing where it crosses its limit: earlier samples are unknown."""
    whole, part, told = Health(), Health(), NamedWorkers()
    for number, cpu in enumerate(shares, 1):
        every = [replace(one, node="node0") for one in workers(w50=cpu, w33=0.6)]
        whole.take(Point(float(number), 1.0, workers=every))
        together = [Together.of("node0", len(every), sent_together(every), 1.0)]
        some = told.choose(every)
        part.take(Point(float(number), 1.0, workers=some, together=together))
    assert part.limited is whole.limited
    for one, other in zip(part.findings(), whole.findings(), strict=True):
        assert (one["where"], one["what"], one["worst"], one["to_s"]) == (
            *(other["where"], other["what"], other["worst"], other["to_s"]),
        )
        assert 0 <= other["seconds"] - one["seconds"] <= 2
