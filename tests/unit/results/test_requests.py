"""Requests are found among the counters, and are shown side by side."""

from __future__ import annotations

from amoc.results.requests import requests, without_requests

COUNTERS = {
    "request.result": 5,
    "request.error": 3,
    "request.error.item-not-found": 1,
    "request.error.forbidden": 2,
    "request.timeout": 1,
    "request.unanswered": 0,
    "get_vcard.result": 5,
    "get_vcard.error": 0,
    "get_vcard.timeout": 0,
    "get_vcard.unanswered": 0,
    "idle.result": 0,
    "idle.error": 0,
    "idle.timeout": 0,
    "idle.unanswered": 0,
    "page.result": 7,
    "page.error.forbidden": 7,
}
TIMERS = {"request": {"count": 5, "p50_s": 0.1}, "get_vcard": {"count": 5, "p50_s": 0.1}}


def test_all_ends_of_a_name_make_it_a_request() -> None:
    total, vcard = requests(COUNTERS, TIMERS)
    assert (total.name, total.ends) == ("request", (5, 3, 1, 0))
    assert total.conditions == (("forbidden", 2), ("item-not-found", 1))
    assert total.times["p50_s"] == 0.1
    assert (vcard.name, vcard.ends, vcard.conditions) == ("get_vcard", (5, 0, 0, 0), ())


def test_other_counters_stay() -> None:
    assert without_requests(COUNTERS) == {"page.result": 7, "page.error.forbidden": 7}
    assert without_requests({"pages": 1}) == {"pages": 1}
