"""The tables of messages and requests in a report."""

from __future__ import annotations

from amoc.results.report import tables


def test_messages_are_shown_with_their_share_of_expected_messages() -> None:
    found = {"messages_expected": 200, "messages_delivered": 199, "messages_lost": 1}
    table = tables.messages(found, {"messages_lost": 0.5})
    rows = {row[0]: row[1:] for row in table.rows}
    assert rows["messages_lost"] == ("1", "0.5", "0.5 %")
    assert rows["messages_duplicated"][0] == "0"


def test_a_run_without_messages_or_requests_has_no_such_tables() -> None:
    assert not tables.messages({"pages": 1}, {}).rows
    assert not tables.requests({}).rows
