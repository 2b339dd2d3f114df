"""Messages to the operator have a level, and a traceback follows its message."""

from __future__ import annotations

from amoc.base.operator_log import OperatorLog


def test_each_line_has_its_level_and_a_traceback_follows_it():
    told = []
    operator = OperatorLog(lambda level, text: told.append((level, text)))
    operator.info("a")
    operator.warning("b")
    operator.error("c", trace="Traceback")
    assert told == [("info", "a"), ("warning", "b"), ("error", "c"), ("trace", "Traceback")]


def test_without_a_listener_nothing_happens():
    OperatorLog().error("c", trace="Traceback")
