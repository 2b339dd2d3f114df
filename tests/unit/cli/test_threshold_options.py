"""The options by which a run is judged."""

from __future__ import annotations

import click
import pytest
from click.testing import CliRunner

from amoc.base.errors import UsageError
from amoc.cli import threshold_options


@click.command()
@click.argument("scenario")
@threshold_options.options
def run(scenario: str, **options: object) -> None:
    click.echo(f"{scenario} {threshold_options.fields(duration_s=60.0, **options)}")


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
def test_the_grace_time_may_be_left_out(words, abort_after_s):
    done = CliRunner().invoke(run, ["chat.py", *words])
    assert f"'abort_after_s': {abort_after_s}" in done.output


def test_a_scenario_that_stands_in_the_grace_times_place_is_told_of():
    done = CliRunner().invoke(run, ["--abort-on-fail", "chat.py"])
    assert done.exit_code == 2
    assert "write --abort-on-fail=10s, or put it last" in done.output


def test_the_options_become_fields_of_a_plan():
    words = ["--expect", "crashes == 0", "--expect", "x > 1", "--warmup", "30s", "--limited-ok"]
    done = CliRunner().invoke(run, ["chat.py", *words])
    fields = {
        "thresholds": ("crashes == 0", "x > 1"),
        "abort_after_s": None,
        "warmup_s": 30.0,
        "limited_ok": True,
    }
    assert done.output == f"chat.py {fields}\n"


def test_all_that_is_wrong_is_said_at_once():
    with pytest.raises(UsageError) as caught:
        threshold_options.fields(
            expected=["crashes < 0", "x"],
            abort_after=None,
            warmup=60.0,
            limited_ok=False,
            duration_s=60.0,
        )
    assert len(str(caught.value).splitlines()) == 3
    assert "--warmup must be shorter than the run, got 60 s of 60 s" in str(caught.value)
