"""JUnit XML: valid by Ant's schema for any summary."""

from __future__ import annotations

from typing import Any
from xml.etree import ElementTree as ET

import pytest
from hypothesis import given
from hypothesis import strategies as st

from amoc.results.export import junit

# Rules of the schema beyond well-formed XML: order of children, required attributes, tokens.
CHILDREN = {
    "testsuites": ["testsuite"],
    "testsuite": ["properties", "testcase", "system-out", "system-err"],
    "properties": ["property"],
    "testcase": ["skipped", "error", "failure"],
}
REQUIRED = {
    "testsuite": {
        *("name", "package", "id", "timestamp", "hostname"),
        *("tests", "failures", "errors", "time"),
    },
    "property": {"name", "value"},
    "testcase": {"name", "classname", "time"},
    "error": {"type"},
    "failure": {"type"},
}
ONCE = {"testsuite": ["properties", "system-out", "system-err"]}


def threshold(text: str, passed: bool = True, reason: str = "") -> dict[str, Any]:
    return {
        "expression": text,
        "source": "--expect",
        "passed": passed,
        "value": 1.0,
        "value_text": "1 s",
        "reason": reason,
    }


def summary(
    verdict: str = "ok", *, thresholds: Any = (), health: Any = None, **run: Any
) -> dict[str, Any]:
    return {
        "run": {
            "id": "20261125T020000-1a2b",
            "scenario": "load/chat.py",
            "comment": "",
            "seed": 42,
            "started_at": "2026-11-25T02:00:00.123+00:00",
            "duration_s": 61.5,
            "directory": "amoc-runs/1",
            "verdict": verdict,
            "exit_code": 0,
            "reasons": [],
            **run,
        },
        "users": {"started": 50, "crashed": 1},
        "crashes": [{"cause": "OSError: no", "count": 1}],
        "versions": {"amoc": "0.1.0", "cores": 2},
        "settings": [{"name": "rate", "value": "600", "source": "default"}],
        "thresholds": list(thresholds),
        "health": health or {"limited": False, "findings": []},
    }


def read(text: str) -> ET.Element:
    """Check a document against the schema and return its suite."""
    root = ET.fromstring(text.encode())
    assert root.tag == "testsuites"
    for element in root.iter():
        tags = [child.tag for child in element]
        allowed = CHILDREN.get(element.tag, [])
        assert set(tags) <= set(allowed), element.tag
        assert tags == sorted(tags, key=allowed.index), f"order in {element.tag}"
        assert all(tags.count(tag) == 1 for tag in ONCE.get(element.tag, [])), tags
        assert element.attrib.keys() >= REQUIRED.get(element.tag, set()), element.tag
        if element.tag == "testcase":
            assert len(tags) <= 1
    (suite,) = root
    for count, tag in (("failures", "failure"), ("errors", "error"), ("skipped", "skipped")):
        assert int(suite.attrib[count]) == len(suite.findall(f"testcase/{tag}"))
    assert int(suite.attrib["tests"]) == len(suite.findall("testcase"))
    return suite


def cases(suite: ET.Element) -> dict[str, str]:
    """The outcome of each case by name."""
    return {
        case.attrib["name"]: case[0].tag if len(case) else "passed"
        for case in suite.findall("testcase")
    }


MET = threshold("crashes == 0")
UNMET = threshold("turn.p99 < 1s", False, "turn.p99 must be < 1s, got 3 s (from --expect)")
ABORTED = f"the run was aborted after 6.9 s of 1 min (--abort-on-fail): {UNMET['reason']}"
LIMITED = {
    "limited": True,
    "findings": [{"text": "worker 1 was late from 3 s to 9 s", "advice": "use more workers"}],
}


@pytest.mark.parametrize(
    ("made", "outcomes"),
    [
        (summary(thresholds=[MET]), ("passed", {"crashes == 0": "passed"}, "passed")),
        (summary("stopped"), ("passed", {}, "passed")),
        (
            summary("failed thresholds", thresholds=[MET, UNMET]),
            ("passed", {"crashes == 0": "passed", "turn.p99 < 1s": "failure"}, "passed"),
        ),
        (
            summary("generator-limited", thresholds=[MET, UNMET], health=LIMITED),
            ("passed", {"crashes == 0": "passed", "turn.p99 < 1s": "skipped"}, "error"),
        ),
        (summary("ok", health=LIMITED), ("passed", {}, "passed")),  # --limited-ok
        (
            summary("failed", thresholds=[UNMET], health=LIMITED),
            ("error", {"turn.p99 < 1s": "skipped"}, "error"),
        ),
        (summary("interrupted"), ("error", {}, "passed")),
        (summary("running", thresholds=[UNMET]), ("error", {"turn.p99 < 1s": "skipped"}, "passed")),
        (summary("killed", thresholds=[MET]), ("error", {"crashes == 0": "skipped"}, "passed")),
        (summary("incomplete", thresholds=[MET]), ("error", {"crashes == 0": "skipped"}, "passed")),
        (
            summary("failed thresholds", thresholds=[MET, UNMET], reasons=[ABORTED]),
            ("failure", {"crashes == 0": "passed", "turn.p99 < 1s": "failure"}, "passed"),
        ),
        (
            summary("generator-limited", thresholds=[UNMET], health=LIMITED, reasons=[ABORTED]),
            ("failure", {"turn.p99 < 1s": "skipped"}, "error"),
        ),
    ],
)
def test_verdicts_map_to_errors_failures_and_skipped_cases(made, outcomes):
    first, expected, last = outcomes
    assert cases(read(junit.render(made))) == {junit.RUN: first, **expected, junit.GENERATOR: last}


def test_a_failure_states_the_reason_and_an_error_the_advice():
    suite = read(junit.render(summary("failed thresholds", thresholds=[UNMET])))
    assert suite.find("testcase/failure").attrib["message"] == UNMET["reason"]
    suite = read(junit.render(summary("generator-limited", health=LIMITED)))
    error = suite.find("testcase/error")
    assert error.text == "worker 1 was late from 3 s to 9 s; use more workers"
    suite = read(junit.render(summary("failed", reasons=["a node died", "and more"])))
    error = suite.find("testcase/error")
    assert (error.attrib["message"], error.text) == ("a node died", "a node died\nand more")


@pytest.mark.parametrize(
    ("verdict", "why"),
    [("incomplete", "data of the run is missing"), ("killed", "the run did not complete")],
)
def test_a_skipped_threshold_states_the_reason(verdict, why):
    suite = read(junit.render(summary(verdict, thresholds=[MET])))
    assert suite.find("testcase/skipped").attrib["message"] == f"not evaluated: {why}"


def test_the_suite_is_named_after_the_scenario_and_describes_the_run():
    suite = read(junit.render(summary()))
    assert suite.attrib["name"] == "chat"
    assert suite.attrib["timestamp"] == "2026-11-25T02:00:00"
    assert suite.attrib["time"] == "61.500"
    assert {case.attrib["classname"] for case in suite.findall("testcase")} == {"amoc.chat"}
    found = {
        one.attrib["name"]: one.attrib["value"] for one in suite.findall("properties/property")
    }
    assert found["run.seed"] == "42"
    assert found["setting.rate"] == "600"
    assert found["version.amoc"] == "0.1.0"
    assert "run.comment" not in found
    assert "1 crashed iteration: OSError: no" in suite.find("system-out").text


def test_an_aborted_run_states_when_and_why():
    made = summary("failed thresholds", reasons=[ABORTED, UNMET["reason"]])
    failure = read(junit.render(made)).find("testcase/failure")
    assert failure.attrib["type"] == "aborted"
    assert failure.text == ABORTED


def test_system_out_lists_each_failure_once_and_the_notes():
    made = summary(
        "failed thresholds",
        thresholds=[MET, UNMET],
        reasons=[UNMET["reason"]],
        notes=["users started at 80 a second, not at 100"],
    )
    made["users"] = {
        "started": 20,
        "finished": 20,
        "crashed": 0,
        "removed": 0,
        "peak": 20,
        "running": 0,
        "starts_per_s_peak": 20.0,
    }
    made["crashes"] = []
    assert read(junit.render(made)).find("system-out").text.splitlines() == [
        "verdict: failed thresholds",
        UNMET["reason"],
        "note: users started at 80 a second, not at 100",
        "users: 20 started, 20 finished, peak 20, peak start rate 20/s",
        "passed: crashes == 0 (1 s)",
        "run directory: amoc-runs/1",
    ]


def test_a_failed_threshold_not_among_the_reasons_is_listed():
    made = summary("interrupted", thresholds=[UNMET], reasons=["stopped at once"])
    assert "failed: turn.p99 < 1s" in read(junit.render(made)).find("system-out").text


def test_case_names_do_not_depend_on_the_outcome():
    made = [
        summary("ok", thresholds=[MET, threshold("turn.p99 < 1s")]),
        summary("generator-limited", thresholds=[MET, UNMET], health=LIMITED),
        summary("failed", thresholds=[MET, UNMET]),
    ]
    names = [list(cases(read(junit.render(one)))) for one in made]
    assert names[0] == names[1] == names[2]


def test_a_summary_of_an_earlier_version_is_rendered():
    old = summary()
    for key in ("versions", "settings", "thresholds", "health", "users", "crashes"):
        del old[key]
    assert cases(read(junit.render(old))) == {junit.RUN: "passed", junit.GENERATOR: "passed"}


TEXT = st.text(st.characters(), max_size=20)  # surrogates and control characters too


@given(TEXT, TEXT, TEXT)
def test_any_text_gives_a_well_formed_document(one, two, three):
    made = summary(
        "failed thresholds",
        thresholds=[threshold(f"x{one} < 1", False, two)],
        comment=three,
        scenario=one,
        reasons=[two, three],
        directory=three,
    )
    made["settings"] = [{"name": one, "value": two}]
    made["crashes"] = [{"cause": three, "count": 3}]
    read(junit.render(made))


@pytest.mark.parametrize("text", ["\0", "\x1b[31m", "\ud800", "\ufffe", "\x0b"])
def test_characters_not_allowed_in_xml_are_escaped_as_in_python(text):
    suite = read(junit.render(summary(comment=f"a{text}b")))
    found = {
        one.attrib["name"]: one.attrib["value"] for one in suite.findall("properties/property")
    }
    escaped = text[0].encode("unicode_escape").decode() + text[1:]
    assert found["run.comment"] == f"a{escaped}b"


def test_the_file_is_replaced_atomically(tmp_path):
    path = tmp_path / "junit.xml"
    path.write_text("of another run")
    junit.write(summary(comment="é"), path)
    assert path.read_text(encoding="utf-8") == junit.render(summary(comment="é"))
    assert list(tmp_path.iterdir()) == [path]
