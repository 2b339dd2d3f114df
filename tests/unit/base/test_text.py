"""Texts in the order that people expect."""

from __future__ import annotations

from amoc.base.text import natural


def test_the_tenth_comes_after_the_second():
    names = ["node10", "node2", "node1", "a", "node"]
    assert sorted(names, key=natural) == ["a", "node", "node1", "node2", "node10"]
