"""Natural sort order."""

from __future__ import annotations

from amoc.base.text import natural


def test_names_are_sorted_by_number():
    names = ["node10", "node2", "node1", "a", "node"]
    assert sorted(names, key=natural) == ["a", "node", "node1", "node2", "node10"]
