"""The preview of a plan: what happens when, and what cannot be known in advance."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from math import inf
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from amoc.cli.preview import Host, preview
from amoc.cli.view.preview_table import parts
from amoc.scenario.load_profile import Stages
from amoc.scenario.run_plan import ROOM_FOR_IDS, RunPlan

PROJECT = Path(__file__).resolve().parents[3]
DEADLINE_S = 60


def plan(users=10, stages=None, **parts) -> RunPlan:
    return RunPlan(
        **{
            "scenario": "chat.py",
            "users": range(1, users + 1),
            "duration_s": None,
            "sources": [],
            "seed": 7,
            "comment": "",
            "init_timeout_s": 30.0,
            "stop_timeout_s": 10.0,
            "stages": Stages.parse(stages, users) if stages else None,
            **parts,
        }
    )


SET = {"name": "user_rate", "value": "600", "from": "--set"}


def host(**parts) -> Host:
    return Host(
        **{
            "settings": [{"name": "rate", "value": "5", "from": "--set"}],
            "workers": 2,
            "interarrival_ms": 50.0,
            "user_rate": None,
            "repeat_num": inf,
            "repeat_interval_s": 60.0,
            "fds_per_user": 1,
            "fd_limit": 1000,
            "has_init": False,
            **parts,
        }
    )


def test_users_are_dealt_round_robin_to_the_workers():
    users = preview(plan(users=5), host())["users"]
    assert (users["count"], users["first"], users["last"]) == (5, 1, 5)
    assert [
        (one["worker"], one["count"], one["first"], one["last"]) for one in users["workers"]
    ] == [*(("node0/0", 3, 1, 5), ("node0/1", 2, 2, 4))]


@pytest.mark.parametrize(
    ("given", "per_minute", "source", "last_s"),
    [
        ({}, 1200.0, "interarrival", 0.45),
        ({"interarrival_ms": 0.0}, "inf", "interarrival", 0.0),
        ({"user_rate": 60.0}, 60.0, "user_rate", 9.0),
        ({"user_rate": inf}, "inf", "user_rate", 0.0),
    ],
)
def test_the_last_start_follows_from_the_start_rate(given, per_minute, source, last_s):
    starts = preview(plan(), host(**given))["starts"]
    assert starts["per_minute"] == per_minute
    assert starts["from"] == source
    assert (starts["first_s"], starts["last_s"], starts["too_late"]) == (0.0, last_s, 0)


def test_users_that_would_start_after_the_end_are_counted():
    starts = preview(plan(duration_s=4.5), host(user_rate=60.0))["starts"]
    assert starts["too_late"] == 5  # the others start at 0, 1, 2, 3 and 4 s


def test_a_start_rate_on_the_command_line_takes_precedence():
    starts = preview(plan(rates={"user_rate": "1/s"}), host())["starts"]
    assert (starts["per_minute"], starts["from"]) == (60.0, "--throttle user_rate")
    starts = preview(plan(rates={"user_rate": "1s:1/s"}), host())["starts"]
    assert (starts["per_minute"], starts["last_s"]) == ("1s:60", None)
    starts = preview(plan(rates={"user_rate": "0"}), host())["starts"]
    assert starts["last_s"] is None


def test_stages_are_shown_with_their_times_and_changes():
    found = preview(plan(0, "10s:100, 0s:20, 1m:20", duration_s=70.0), host())
    assert [
        (one["from_s"], one["to_s"], one["before"], one["target"]) for one in found["stages"]
    ] == [*((0, 10, 0, 100), (10, 10, 100, 20), (10, 70, 20, 20))]
    assert [(one["started"], one["removed"], one["per_s"]) for one in found["stages"]] == [
        *((100, 0, 10.0), (0, 80, None), (0, 0, 0.0))
    ]
    assert found["starts"]["first_s"] == 0.1
    assert found["starts"]["last_s"] == 9.9
    assert found["end"]["at_s"] == 70.0
    assert found["end"]["why"] == "the last stage is over"


def test_user_ids_continue_when_stages_rise_again():
    rising = plan(0, "1s:10, 1s:5, 1s:8")
    later = replace(plan(3, "1s:10"), users=range(5, 8))
    for one, ids in ((rising, range(1, 14)), (later, range(5, 15))):
        assert one.planned_ids == ids
        users = preview(one, host())["users"]
        assert (users["first"], users["last"]) == (ids[0], ids[-1])
        assert one.ids == range(ids.start, ids.stop + ROOM_FOR_IDS)


def test_commands_of_a_replay_are_shown_without_their_secrets():
    values = {"x_password": "s3cret", "accounts": '[{"token": "s3cret"}]', "rate": "5"}
    found = preview(plan(timeline=[(1.5, "set", {"values": values})]), host())
    (command,) = found["commands"]
    assert command["arguments"]["values"]["rate"] == "5"
    assert "s3cret" not in json.dumps(found)


def test_stages_that_rise_faster_than_the_start_rate_are_reported():
    found = preview(
        plan(0, "10s:100, 0s:500, 10s:600, 0s:1", duration_s=20.0),
        host(user_rate=600.0, settings=[SET]),
    )
    (line,) = [one for one in found["open"] if one.startswith("how late users start")]
    assert line == (
        "how late users start: stage 2 would start more than the 600/min that user_rate allows"
    )


def test_without_a_start_rate_stages_determine_when_users_start():
    found = preview(plan(0, "10s:100, 0s:500", duration_s=10.0), host())
    assert found["starts"]["per_minute"] == "inf"
    assert found["starts"]["from"] == "--stages"
    assert not any(one.startswith("how late") for one in found["open"])


def test_descriptors_are_computed_for_the_peak_number_of_users():
    found = preview(plan(0, "10s:2000, 1s:0", duration_s=11.0), host())["descriptors"]
    assert found["users_at_once"] == 2000
    assert (found["needed_per_worker"], found["enough"]) == (1100, False)
    assert preview(plan(), host())["descriptors"]["enough"]


@pytest.mark.parametrize(
    ("given", "repeat_num", "why"),
    [
        ({"duration_s": 5.0}, inf, "--duration is over"),
        ({}, inf, "it is stopped"),
        ({}, 3.0, "3 iterations each, 60 s apart"),
    ],
)
def test_the_end_of_the_run_is_given_or_what_it_depends_on(given, repeat_num, why):
    found = preview(plan(**given), host(repeat_num=repeat_num))
    assert why in found["end"]["why"]
    assert ("when the run ends" in found["open"]) == (not given)


def test_what_init_starts_is_listed_as_unknown():
    assert not any("init()" in one for one in preview(plan(), host())["open"])
    assert any("init()" in one for one in preview(plan(), host(has_init=True))["open"])


def test_a_rate_with_an_unknown_interval_is_reported():
    rates = {"a": "600/min", "b": "1s:5, 1s:0", "c": "0", "user_rate": "5"}
    found = preview(plan(rates=rates), host())
    lines = [one for one in found["open"] if one.startswith("the interval of throttle")]
    assert len(lines) == 1
    assert "throttle b," in lines[0]
    (b,) = [one for one in found["throttles"] if one["name"] == "b"]
    assert [one["target"] for one in b["per_minute"]] == [5.0, 0.0]


@given(
    st.integers(0, 50),
    st.none() | st.lists(st.tuples(st.integers(0, 9), st.integers(0, 50)), min_size=1, max_size=4),
    st.none() | st.floats(0.1, 100),
    st.integers(1, 8),
    st.sampled_from([{}, {"user_rate": "5"}, {"x": "1s:5/s, 2s:7"}]),
)
def test_any_plan_can_be_previewed(users, stages, duration_s, workers, rates):
    text = ", ".join(f"{seconds}s:{target}" for seconds, target in stages) if stages else None
    found = preview(
        plan(users if text else users + 1, text, duration_s=duration_s, rates=rates),
        host(workers=workers),
    )
    assert json.loads(json.dumps(found, allow_nan=False)) == found
    assert sum(one["count"] for one in found["users"]["workers"]) == found["users"]["count"]
    assert parts(found)


SCENARIO = '''"""Users rest."""
from amoc import setting
rate = setting(600, "Messages a minute")
def init(): raise ValueError("it runs")
def start(user_id): raise ValueError("it runs")
'''


def amoc(directory: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "amoc", *arguments],
        cwd=directory,
        env={"PATH": "", "PYTHONPATH": str(PROJECT)},
        capture_output=True,
        text=True,
        timeout=DEADLINE_S,
    )


@pytest.mark.slow
def test_a_plan_is_shown_without_running_any_of_the_scenario(tmp_path):
    (tmp_path / "rest.py").write_text(SCENARIO)
    options = ["--stages", "10s:100", "--workers", "2", "--set", "rate=7", "--seed", "5"]
    done = amoc(tmp_path, "plan", "rest.py", *options)
    assert done.returncode == 0, done.stderr
    text = " ".join(done.stdout.split())
    assert "plan of rest.py seed 5" in text
    assert "rate 7 --set" in text
    assert "100 users, 1 to 100" in text
    assert "node0/1 50 2 to 100 in steps of 2" in text
    assert "1 0 s to 10 s 0 to 100 100 start, 10/s" in text
    assert "the run ends at 10 s, when the last stage is over" in text
    assert "throttles and coordinators that init() or users start" in text
    found = json.loads(amoc(tmp_path, "plan", "rest.py", *options, "--json").stdout)
    assert found["users"]["count"] == 100
    assert not (tmp_path / "amoc-runs").exists()


@pytest.mark.slow
def test_plan_rejects_what_run_rejects(tmp_path):
    (tmp_path / "rest.py").write_text(SCENARIO)
    done = amoc(tmp_path, "plan", "rest.py", "--set", "rate=x")
    assert (done.returncode, done.stderr) == (
        *(3, "amoc: rate must be a valid integer, got 'x' (from --set)\n"),
    )
