"""A run's plan survives JSON with every field."""

from __future__ import annotations

import json
from dataclasses import fields, replace
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from amoc.base.json_plain import plain
from amoc.scenario.arrivals import Arrivals
from amoc.scenario.load_profile import Stage, Stages
from amoc.scenario.run_plan import RunPlan
from amoc.scenario.settings import Source

NAMES = st.text(alphabet="abcdefgh_", min_size=1, max_size=8)
VALUES = st.recursive(
    st.one_of(
        *(st.none(), st.booleans(), st.integers(-(1 << 63), (1 << 64) - 1), st.text()),
        st.floats(allow_nan=False, allow_infinity=False),
    ),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(NAMES, inner, max_size=3)),
    max_leaves=5,
)
SECONDS = st.floats(0, 1e8)
STAGES = st.builds(
    Stages,
    st.lists(
        st.builds(Stage, st.integers(0, 10**15), st.integers(0, 1 << 32).map(Fraction)),
        min_size=1,
        max_size=4,
    ).map(tuple),
    st.integers(0, 1000).map(Fraction),
)
PLANS = st.builds(
    RunPlan,
    scenario=st.sampled_from(["chat", "some.module"]),
    users=st.builds(lambda first, count: range(first, first + count), *[st.integers(1, 10**6)] * 2),
    duration_s=st.none() | SECONDS,
    sources=st.lists(
        st.builds(
            Source, st.text(max_size=9), st.dictionaries(NAMES, VALUES, max_size=4), st.booleans()
        ),
        max_size=4,
    ).map(tuple),
    seed=st.integers(0, 2**63 - 1),
    comment=st.text(max_size=20),
    init_timeout_s=SECONDS,
    stop_timeout_s=SECONDS,
    stages=st.none() | STAGES,
    arrivals=st.none()
    | st.builds(Arrivals, st.sampled_from(["200/s", "1s:5/s,2s:0/s"]), st.integers(1, 1 << 32)),
    rates=st.dictionaries(NAMES, st.sampled_from(["600/min", "1s:5, 2s:0"]), max_size=3),
    thresholds=st.lists(st.sampled_from(["crashes == 0", "turn.p99 < 2s"]), max_size=2).map(tuple),
    abort_after_s=st.none() | SECONDS,
    warmup_s=SECONDS,
    limited_ok=st.booleans(),
    failures_ok=st.booleans(),
    timeline=st.lists(
        st.tuples(
            SECONDS, st.sampled_from(["add", "pause"]), st.dictionaries(NAMES, VALUES, max_size=2)
        ),
        max_size=3,
    ).map(tuple),
    run_directory=st.none() | st.text(max_size=20),
    log_level=st.sampled_from(["debug", "info", "warning", "error"]),
    libraries=st.sampled_from(["", "/cache/lib"]),
)


OTHER = RunPlan(
    scenario="chat",
    users=range(3, 5),
    duration_s=1.5,
    sources=(Source("--set", {"rate": "5"}, True),),
    arrivals=Arrivals("30/s", 9),
    seed=7,
    comment="a trial",
    init_timeout_s=1.0,
    stop_timeout_s=2.0,
    stages=Stages.parse("30s:100", 2),
    rates={"logins": "600/min"},
    run_directory="here",
    timeline=((1.0, "add", {"count": 5}),),
    warmup_s=0.5,
    thresholds=("crashes == 0",),
    abort_after_s=3.0,
    limited_ok=True,
    failures_ok=True,
    log_level="debug",
    libraries="/cache/lib",
    cluster="local:3",
    placement="blocks",
    on_node_loss="fail",
    on_nodes=("node1", "here"),
)
"""A plan in which no field has its default."""
LEAST = RunPlan("other", range(1, 2), None, (), 1, "", 30.0, 10.0)


@given(PLANS)
def test_a_plan_survives_a_round_trip_through_json(plan):
    # Secrets aside, the journal's JSON is the same.
    for made in (plan.to_json(), plain(plan.to_json())):
        assert RunPlan.from_json(json.loads(json.dumps(made, allow_nan=False))) == plan


@pytest.mark.parametrize("name", [one.name for one in fields(RunPlan)])
def test_each_field_is_written_and_read(name):
    value = getattr(OTHER, name)
    assert value != getattr(LEAST, name), "the test has to give the new field another value"
    plan = replace(LEAST, **{name: value})
    found = RunPlan.from_json(json.loads(json.dumps(plan.to_json())))
    assert getattr(found, name) == value
    assert found == plan


def test_an_older_plan_gets_defaults_for_missing_fields():
    data = LEAST.to_json()
    for name in ("warmup_s", "thresholds", "abort_after_s", "limited_ok", "log_level"):
        del data[name]
    assert RunPlan.from_json({**data, "of_a_later_version": 5}) == LEAST


@pytest.mark.parametrize("data", [{}, None, 5, {"users": [1, 2]}])
def test_invalid_plans_are_refused(data):
    with pytest.raises((KeyError, TypeError, ValueError)):
        RunPlan.from_json(data)
