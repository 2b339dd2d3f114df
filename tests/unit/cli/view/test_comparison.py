"""Two compared runs in the terminal: long lists are cut, with the number of rows left out."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

from amoc.cli.view.comparison import MAX_METRICS, MAX_SETUP, render
from amoc.results.compare.comparison import WITHIN, Comparison, Metric
from amoc.results.compare.setup import Difference


def printed(significant: int, within: int, setup: int = 0) -> str:
    metrics = [
        Metric("counters", f"m{number}", "rate", "/s", 1.0, 2.0, result, 0.5, 0.1)
        for result, count in (("more", significant), (WITHIN, within))
        for number in range(count)
    ]
    differences = [Difference("setting", f"s{number}", "1", "2") for number in range(setup)]
    file = io.StringIO()
    found = Comparison((), differences, metrics, [])  # type: ignore[arg-type]
    Console(file=file, width=200).print(render(found))
    return file.getvalue()


@pytest.mark.parametrize(
    ("significant", "within", "rows", "remarks"),
    [
        (60, 40, 100, []),
        (60, 41, 60, ["41 more metrics did not change significantly (--json has all)"]),
        (100, 1, 100, ["1 more metric did not change significantly (--json has all)"]),
        (101, 0, 100, ["1 more metric changed significantly (--json has all)"]),
        (
            1_500, 20, 100,
            [
                "1,400 more metrics changed significantly (--json has all)",
                "20 more metrics did not change significantly (--json has all)",
            ],
        ),
    ],
)  # fmt: skip
def test_with_many_metrics_the_first_changed_ones_are_shown(significant, within, rows, remarks):
    assert MAX_METRICS == 100
    text = printed(significant, within)
    assert text.count("counters m") == rows
    assert [line.strip() for line in text.splitlines() if "--json" in line] == remarks


def test_with_many_setup_differences_the_first_are_shown():
    assert "more (--json" not in printed(1, 0, MAX_SETUP)
    text = printed(1, 0, MAX_SETUP + 1_100)
    assert text.count("setting s") == MAX_SETUP
    assert "1,100 more (--json has all)" in text
