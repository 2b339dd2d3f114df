"""What is saved of a queued run, and how a later server restores it."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from amoc.service.job import FAILED, QUEUED, RUNNING, STARTING, Job, JobFiles
from amoc.service.start_bodies import ReplayBody, StartBody

NOW = datetime(2026, 12, 1, 2, tzinfo=UTC)
TEXTS = st.text(st.characters(min_codepoint=32, max_codepoint=126), max_size=20)
REPLAYS = st.builds(ReplayBody, run=st.just("one"), queue=st.booleans(), comment=TEXTS)
BODIES = REPLAYS | st.builds(
    StartBody,
    scenario=st.just("chat"),
    users=st.none() | st.integers(0, 1 << 32),
    settings=st.dictionaries(TEXTS, st.integers() | TEXTS, max_size=5),
    throttles=st.dictionaries(TEXTS, st.just("10/s"), max_size=3),
    comment=TEXTS,
    queue=st.booleans(),
    at=st.none() | st.just(NOW + timedelta(hours=1)),
)


def again(job: Job) -> Job:
    """The job as restored by the next server."""
    return Job.from_json(job.id, json.loads(json.dumps(job.to_json())))


@given(BODIES)
def test_a_queued_run_is_restored_unchanged_unless_a_secret_is_missing(
    body: StartBody | ReplayBody,
) -> None:
    found = again(Job("one", "chat", body, NOW))
    if found.state == QUEUED:
        assert (found.body, found.asked_at, found.due_at) == (body, NOW, body.at or NOW)
    else:
        assert "secrets are not saved" in found.error


@pytest.mark.parametrize(
    ("name", "value"),
    [("password", "hush"), ("servers", "http://me:hush@there"), ("login", {"token": ["hush"]})],
)
def test_secrets_are_not_saved_and_a_run_without_its_secret_fails(name: str, value: object) -> None:
    job = Job("one", "chat", StartBody(scenario="chat", settings={name: value, "pause": 1}), NOW)
    assert "hush" not in json.dumps(job.to_json())
    found = again(job)
    assert found.state == FAILED
    assert found.error.startswith(f"secrets are not saved when the server ends: {name};")


def test_a_restored_run_never_starts_twice_and_a_failed_one_stays_failed() -> None:
    body = StartBody(scenario="chat")
    assert again(Job("one", "chat", body, NOW, state=STARTING)).state == FAILED
    failed = again(Job("one", "chat", body, NOW, state=FAILED, error="no such user"))
    assert (failed.state, failed.error) == (FAILED, "no such user")


def test_a_damaged_or_incompatible_file_does_not_affect_other_runs(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    files = JobFiles(tmp_path)
    assert files.restore() == []
    for number, run in enumerate(("second", "first")):
        body = StartBody(scenario="chat", comment=run)
        files.keep(Job(run, "chat", body, NOW - timedelta(seconds=number)))
    whole = json.loads((tmp_path / ".queue/first.json").read_text())
    damaged = {
        "empty": "",
        "list": "[]",
        "cut": json.dumps(whole)[:40],
        "other": json.dumps({**whole, "body": {**whole["body"], "users": "many"}}),
        "state": json.dumps({**whole, "state": RUNNING}),
    }
    for name, text in damaged.items():
        (tmp_path / f".queue/{name}.json").write_text(text)
    assert [one.id for one in files.restore()] == ["first", "second"]
    assert {record.args[0].stem for record in caplog.records} == set(damaged)  # type: ignore[index,union-attr]
    files.forget("first")
    files.forget("first")
    assert [one.id for one in files.restore()] == ["second"]
