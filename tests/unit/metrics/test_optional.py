"""Metrics that a run can do without: each throttle is counted, and metrics keep their room."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from amoc import metrics
from amoc.base import context
from amoc.metrics import optional, registry
from amoc.metrics.area import Kind
from amoc.throttle.calls import OWN
from amoc.throttle.controller import MAX_THROTTLES


@pytest.fixture(autouse=True)
def _fresh() -> Iterator[None]:
    with registry.Registry().activated(), context.WorkerContext().activated():
        yield


def test_each_throttle_of_a_run_is_counted_beside_other_metrics(
    capsys: pytest.CaptureFixture[str],
) -> None:
    number = 0
    while registry.current.fits(f"metric {number}", 0):
        metrics.counter(f"metric {number}").inc()
        number += 1
    names = [*OWN, *(f"throttle {number}" for number in range(MAX_THROTTLES))]
    for name in names:
        optional.throttle(name).executions.inc()
    found = {one.name: one.value for one in metrics.read() if one.kind is Kind.THROTTLE}
    assert {name: value.executions for name, value in found.items()} == dict.fromkeys(names, 1)
    assert capsys.readouterr().err == ""
    for late in ("late", "later"):  # after others were stopped
        optional.throttle(late).executions.inc()
    said = capsys.readouterr().err
    assert said.startswith("not all throttles or coordinators are counted: a worker has no room")
    assert "'late'" in said
    assert said.count("\n") == 1
