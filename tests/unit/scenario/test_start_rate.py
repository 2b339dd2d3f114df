"""The start rate: user_rate takes precedence over interarrival, and stages over defaults."""

from __future__ import annotations

from math import inf

import pytest

from amoc.scenario.start_rate import first_rate, start_rate


def test_the_start_rate_is_user_rate_or_follows_from_interarrival():
    assert start_rate(50.0, None) == 1200.0
    assert start_rate(50.0, 7.0) == 7.0
    assert start_rate(0.0, None) == inf
    assert start_rate(inf, None) == start_rate(50.0, 0.0) == 0.0
    assert start_rate(0.001, None) == 60_000_000.0


@pytest.mark.parametrize(
    ("own_starts", "sources", "per_minute", "found"),
    [
        ("", {}, None, (1200.0, "interarrival")),
        ("", {"user_rate": "--set"}, 600.0, (600.0, "user_rate")),
        ("--stages", {}, None, (inf, "--stages")),
        ("--stages", {"user_rate": "default", "interarrival": "default"}, None, (inf, "--stages")),
        ("--stages", {"rate": "--set"}, None, (inf, "--stages")),
        ("--stages", {"user_rate": "--set"}, 600.0, (600.0, "user_rate")),
        ("--stages", {"interarrival": "amoc.toml"}, None, (1200.0, "interarrival")),
    ],
)
def test_stages_set_the_start_rate_unless_a_rate_is_given(own_starts, sources, per_minute, found):
    assert first_rate(own_starts, sources, 50.0, per_minute) == found
