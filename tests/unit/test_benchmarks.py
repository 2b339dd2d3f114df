"""How benchmarks/ describes programs and compares two files of results."""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import sysconfig
from collections.abc import Sequence
from itertools import product
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks import comparison
from benchmarks.__main__ import HERE, programs
from benchmarks.http.__main__ import missing

pytestmark = pytest.mark.once
VALUES = st.lists(st.floats(1e-6, 1e6), min_size=1, max_size=9)


@given(VALUES, VALUES)
def test_a_ratio_and_every_pair_lie_within_its_spread(
    before: list[float], after: list[float]
) -> None:
    found = comparison.ratio(before, after)
    assert found is not None
    assert found.least <= found.middle <= found.most
    assert all(found.least <= new / old <= found.most for old, new in product(before, after))


@given(VALUES, VALUES)
def test_the_reverse_ratio_is_the_inverse(before: list[float], after: list[float]) -> None:
    there, back = comparison.ratio(before, after), comparison.ratio(after, before)
    assert there is not None
    assert back is not None
    assert there.least == pytest.approx(1 / back.most)
    assert there.most == pytest.approx(1 / back.least)


def test_there_is_no_ratio_to_zero_or_without_values() -> None:
    assert comparison.ratio([0.0, 1.0], [2.0]) is None
    assert comparison.ratio([], [2.0]) is None


def result(values: Sequence[float], **changed: Any) -> dict[str, Any]:
    figures = {"CPU": {"unit": "µs", "values": list(values)}}
    program = {
        "arguments": ["--users", "10"],
        "exit_codes": [0],
        "failed": False,
        "figures": figures,
    }
    return {
        "format": comparison.FORMAT,
        "version": "abc",
        "at": "2026-11-29T06:00:00+00:00",
        "machine": {"cores": "2"},
        "load": [0.5, 1.0],
        "programs": {"users": {**program, **changed}},
    }


def test_a_comparison_has_values_ratio_and_spread_and_no_verdict() -> None:
    lines = list(comparison.compare(result([10.0, 20.0]), result([5.0, 6.0])))
    assert lines[0] == "before: abc, 2026-11-29T06:00:00+00:00, load 0.5 to 1.0"
    (line,) = (one for one in lines if one.startswith("  CPU"))
    assert " ".join(line.split()) == "CPU 15 5.5 µs 0.40 0.25 to 0.60 (2 and 2 values)"
    assert not [one for one in lines if "not the same" in one]


def test_a_comparison_reports_other_differences() -> None:
    after = result([5.0], arguments=[], failed=True)
    after["machine"]["cores"] = "4"
    after["programs"]["reports"] = after["programs"]["users"]
    lines = list(comparison.compare(result([10.0]), after))
    assert "not the same: cores: 2 before, 4 after" in lines
    assert "not the same: users: arguments --users 10 before, none after" in lines
    assert "users failed after, so its figures mean nothing" in lines
    assert "\nreports: after only" in lines


def test_further_rounds_of_the_same_version_are_added() -> None:
    more = result([7.0], failed=True)
    more["load"] = [2.0, 3.0]
    more["programs"]["reports"] = result([1.0])["programs"]["users"]
    both = comparison.joined(result([5.0, 6.0]), more)
    assert both["programs"]["users"]["figures"]["CPU"]["values"] == [5.0, 6.0, 7.0]
    assert both["programs"]["users"]["failed"]
    assert both["programs"]["reports"]["figures"]["CPU"]["values"] == [1.0]
    assert both["load"] == [0.5, 3.0]


@pytest.mark.parametrize(
    ("changed", "why"),
    [
        ({"version": "def"}, "it is of abc, and this of def"),
        ({"machine": {"cores": "4"}}, "cores: 2 before, 4 after"),
    ],
)
def test_rounds_of_another_version_or_machine_are_refused(
    changed: dict[str, Any], why: str
) -> None:
    with pytest.raises(ValueError, match=f"^{why}$"):
        comparison.joined(result([5.0]), {**result([5.0]), **changed})


def test_two_files_are_compared_and_another_format_is_refused(tmp_path: Path) -> None:
    paths = [tmp_path / "before.json", tmp_path / "after.json"]
    for path, value in zip(paths, (10.0, 5.0), strict=True):
        path.write_text(json.dumps(result([value])))
    command = [sys.executable, "-m", "benchmarks", "compare", *map(str, paths)]
    done = subprocess.run(command, cwd=HERE.parent, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    assert "0.50" in done.stdout
    paths[1].write_text(json.dumps({**result([1.0]), "format": 99}))
    done = subprocess.run(command, cwd=HERE.parent, capture_output=True, text=True, timeout=60)
    assert done.returncode == 1
    assert done.stderr == f"{paths[1]} must have the format 1, got 99\n"


def test_every_program_has_short_arguments_and_a_question() -> None:
    parts = {f"xmpp_{name}" for name in ("amoc", "slixmpp", "sockets", "tsung")} | {"fake_nodes"}
    files = [*HERE.glob("[!_]*.py"), *HERE.glob("*/__main__.py")]
    able = {
        path.parent.name if path.stem == "__main__" else path.stem
        for path in files
        if '__name__ == "__main__"' in path.read_text()
    }
    assert {one.name for one in programs()} == able - parts
    assert all(one.question and one.short for one in programs())


def test_no_module_shadows_the_standard_library() -> None:
    """A run puts its scenario's directory first on sys.path."""
    names = {path.stem for path in HERE.glob("[!_]*.py")}
    assert not names & sys.stdlib_module_names


@pytest.mark.skipif(
    bool(sysconfig.get_config_var("Py_GIL_DISABLED")), reason="this Python is free-threaded"
)
def test_aiolocust_is_left_out_for_a_python_that_is_not_free_threaded() -> None:
    reason = missing("aiolocust", argparse.Namespace(aiolocust=sys.executable))
    version = sys.version.split()[0]
    assert reason == f"it needs a free-threaded Python (--aiolocust names one), got {version}"


@pytest.mark.parametrize("name", ["locust", "aiolocust"])
def test_a_contender_is_left_out_if_its_python_does_not_exist(name: str) -> None:
    options = argparse.Namespace(**{name: "/no/such/python"})
    assert missing(name, options) == "[Errno 2] No such file or directory: '/no/such/python'"
