"""The tables of messages and requests in a report."""

from __future__ import annotations

from amoc.results.report import tables


def test_messages_are_shown_with_their_share_of_what_was_expected() -> None:
    found = {"messages_expected": 200, "messages_delivered": 199, "messages_lost": 1}
    table = tables.messages(found, {"messages_lost": 0.5})
    rows = {row[0]: row[1:] for row in table.rows}
    assert rows["messages_lost"] == ("1", "0.5", "0.5 %")
    assert rows["messages_duplicated"][0] == "0"


def test_requests_are_shown_side_by_side_with_errors_by_condition() -> None:
    counters = {
        "page.result": 3,
        "page.error": 2,
        "page.error.forbidden": 2,
        "page.timeout": 1,
        "page.unanswered": 0,
    }
    times = {"page": {"count": 3, "p50_s": 0.2, "p99_s": 0.3, "max_s": 0.4}}
    (row,) = tables.requests_made(counters, times).rows
    assert row[:5] == ("page", "3", "2", "1", "0")
    assert row[5:] == ("200 ms", "300 ms", "400 ms", "forbidden 2")


def test_a_request_without_a_result_shows_no_time() -> None:
    counters = dict.fromkeys(("p.result", "p.error", "p.unanswered"), 0) | {"p.timeout": 1}
    times = {"p": {"count": 0, "p50_s": 0.0, "p99_s": 0.0, "max_s": 0.0}}
    (row,) = tables.requests_made(counters, times).rows
    assert "0 s" not in row[5:8]


def test_a_run_without_messages_or_requests_has_no_such_tables() -> None:
    assert not tables.messages({"pages": 1}, {}).rows
    assert not tables.requests_made({"pages": 1}, {}).rows
