"""Unaccounted messages of a run, notes about lost ones, and the message table."""

from __future__ import annotations

import pytest

from amoc.results import message_account
from amoc.results.message_account import notes, rows, unaccounted

FINE = {"messages_sent": 10, "messages_expected": 10, "messages_delivered": 10}


def test_messages_no_worker_knows_about_are_unaccounted() -> None:
    counters = {
        "messages_expected": 100,
        "messages_delivered": 80,
        "messages_refused": 5,
        "messages_lost": 3,
    }
    assert unaccounted(counters) == {"messages_unaccounted": 12}


@pytest.mark.parametrize(
    "counters",
    [
        {},
        FINE,
        # A killed worker may have counted what its replacement counts again.
        {"messages_expected": 10, "messages_delivered": 11},
        {"messages_expected": 10, "messages_delivered": 8, "messages_unaccounted": 2},
    ],
)
def test_nothing_is_added_when_every_message_is_accounted_for(counters: dict[str, int]) -> None:
    assert unaccounted(counters) == {}


def test_a_run_without_losses_has_no_note() -> None:
    assert notes(FINE, workers_lost=True) == []


def test_lost_messages_are_noted() -> None:
    counters = {"messages_expected": 2_000, "messages_delivered": 1_999, "messages_lost": 1}
    assert notes(counters, workers_lost=False) == ["1 of 2,000 messages were lost"]


@pytest.mark.parametrize(("workers_lost", "why"), [(True, "a worker was lost"), (False, "left")])
def test_unaccounted_messages_are_noted_with_the_reason(workers_lost: bool, why: str) -> None:
    counters = {"messages_expected": 9, "messages_delivered": 7, "messages_unaccounted": 2}
    (note,) = notes(counters, workers_lost)
    assert note.startswith("2 of 9 messages are unaccounted for: ")
    assert why in note


def test_a_killed_run_does_not_claim_that_nothing_was_lost() -> None:
    (note,) = notes({"messages_expected": 9, "messages_delivered": 7}, workers_lost=False)
    assert note == ("it is unknown which of 2 of 9 messages were lost: the run did not complete")


def test_the_table_shows_zeros_but_leaves_out_rare_rows() -> None:
    table = {one.name: (one.total, one.share) for one in rows(FINE)}
    assert table["messages_sent"] == (10, None)
    assert table["messages_delivered"] == (10, 1.0)
    assert table["messages_lost"] == table["messages_duplicated"] == (0, 0.0)
    assert table["messages_reordered"] == table["messages_late"] == (0, 0.0)
    assert "messages_foreign" not in table
    assert "messages_foreign" in {one.name for one in rows({**FINE, "messages_foreign": 1})}


def test_there_is_no_table_without_messages() -> None:
    assert rows({"messages_sent": 0, "messages_expected": 0}) == []
    assert {"messages_lost", "messages_unaccounted"} <= message_account.NAMES


@pytest.mark.parametrize("name", sorted(message_account.NAMES))
def test_the_table_is_shown_if_any_count_is_not_zero(name: str) -> None:
    table = {one.name: one for one in rows({name: 3})}
    assert table[name].total == 3
    assert all(one.share is None or name == "messages_expected" for one in table.values())


def test_untracked_messages_are_noted() -> None:
    (note,) = notes({"messages_untracked": 2_000}, workers_lost=False)
    assert note.startswith("2,000 messages could not be tracked: ")
