"""Options for thresholds, loads and how a run is judged."""

from __future__ import annotations

import click
import pytest
from click.testing import CliRunner

from amoc.base.errors import UsageError
from amoc.cli import run_options
from amoc.scenario.run_plan import RunPlan

planned: list[RunPlan] = []


@click.command()
@run_options.options
def run(**options: object) -> None:
    planned.append(run_options.plan(**options))


def plan(*words: str) -> RunPlan:
    done = CliRunner().invoke(run, words)
    if done.exception is not None:
        raise done.exception
    return planned.pop()


@pytest.mark.parametrize(
    ("words", "abort_after_s"),
    [
        ([], None),
        (["--abort-on-fail"], 10.0),
        (["--abort-on-fail", "30s"], 30.0),
        (["--abort-on-fail=0s"], 0.0),
        (["--abort-on-fail", "--limited-ok"], 10.0),
    ],
)
def test_the_grace_time_is_optional(words, abort_after_s):
    assert plan("chat.py", *words).abort_after_s == abort_after_s


def test_a_scenario_mistaken_for_a_grace_time_is_explained():
    done = CliRunner().invoke(run, ["--abort-on-fail", "chat.py"])
    assert done.exit_code == 2
    assert "write --abort-on-fail=10s, or put it last" in done.output


def test_options_become_fields_of_the_plan():
    words = ["--expect", "crashes == 0", "--expect", "x > 1", "--warmup", "30s", "--limited-ok"]
    found = plan("chat.py", *words)
    assert found.thresholds == ("crashes == 0", "x > 1")
    assert found.abort_after_s is None
    assert found.warmup_s == 30.0
    assert found.limited_ok


def test_all_problems_are_reported_at_once():
    words = ["--expect", "crashes < 0", "--expect", "x", "--warmup", "60s", "--duration", "60s"]
    with pytest.raises(UsageError) as caught:
        plan("chat.py", *words)
    assert len(str(caught.value).splitlines()) == 3
    assert "--warmup must be shorter than the run, got 60 s of 60 s" in str(caught.value)


@pytest.mark.parametrize(
    ("words", "scenario", "users"),
    [
        (["buy.py=10"], "buy.py", range(1, 11)),
        (["buy.py=10", "browse.py=90"], "buy.py=10 browse.py=90", range(1, 101)),
        (["buy.py=1", "browse.py=9", "--users", "50"], "buy.py=1 browse.py=9", range(1, 51)),
        (["buy.py=1", "browse.py=9", "--stages", "9s:5"], "buy.py=1 browse.py=9", range(1, 1)),
        (["buy.py=1 browse.py=9"], "buy.py=1 browse.py=9", range(1, 11)),
        (["buy.py=1", "my browse.py=9"], "buy.py=1 'my browse.py=9'", range(1, 11)),
    ],
)
def test_scenarios_may_state_their_number_of_users(words, scenario, users):
    found = plan(*words)
    assert (found.scenario, found.users) == (scenario, users)
    assert found.arrivals is None


def test_scenarios_share_an_arrival_rate():
    found = plan("buy.py=1", "browse.py=9", "--arrival-rate", "10s:50/s", "--max-users", "70")
    assert found.arrivals is not None
    assert (found.arrivals.text, found.arrivals.max_users) == ("10s:50/s", 70)
    assert (found.duration_s, len(found.users), found.most_users) == (10.0, 0, 70)


def test_scenarios_may_have_separate_arrival_rates():
    found = plan("buy.py=1/s", "browse.py=9/s", "--duration", "10s", "--max-users", "7")
    assert found.scenario == "buy.py=1 browse.py=9"
    assert found.arrivals is not None
    assert (found.arrivals.text, found.arrivals.max_users) == ("10/s", 7)
    assert plan("buy.py=30/min").scenario == "buy.py"
    with pytest.raises(UsageError, match="mutually exclusive"):
        plan("buy.py=1/s", "browse.py=9/s", "--users", "10")


def test_scenarios_may_mix_users_stages_and_arrival_rates():
    found = plan("buy.py=10/s", "browse.py=100", "see.py=30s:5,1m:0", "--max-users", "7")
    assert found.scenario == "buy.py=10/s browse.py=100 see.py=30s:5,1m:0"
    assert found.users == range(1, 101)
    assert str(found.stages) == "30s:105, 60s:100"
    assert found.arrivals is not None
    assert (found.arrivals.text, found.arrivals.max_users) == ("10.0/s", 7)
    assert (found.duration_s, found.most_users) == (90.0, 112)
    assert found.planned_ids == range(1, 113)
    assert RunPlan.from_json(found.to_json()) == found
    assert plan(found.scenario, "--max-users", "7", "--seed", "1").arrivals == found.arrivals
    assert plan(*found.scenario.split(), "--duration", "20s").duration_s == 20.0


def test_a_load_on_a_single_scenario_becomes_the_load_of_the_run():
    found = plan("buy.py=30s:5,1m:0")
    assert (found.scenario, str(found.stages)) == ("buy.py", "30s:5, 60s:0")
    rate = plan("buy.py=30s:5/s")
    assert rate.arrivals is not None
    assert (rate.scenario, rate.arrivals.text, rate.stages) == ("buy.py", "30s:5/s", None)


@pytest.mark.parametrize(
    "option", [["--users", "3"], ["--stages", "1s:2"], ["--arrival-rate", "2/s"]]
)
def test_a_load_for_the_run_and_loads_per_scenario_are_mutually_exclusive(option):
    for loads in (["buy.py=10/s", "browse.py=100"], ["buy.py=30s:5,1m:0"]):
        with pytest.raises(UsageError, match=f"^{option[0]} and scenarios with their own stages"):
            plan(*loads, *option)
