"""Python code laid out as by formatters."""

from __future__ import annotations

import keyword
import subprocess
import sys

from hypothesis import given
from hypothesis import strategies as st

from amoc.recording.python_text import Call, Code, flat, identifier, rendered

TEXT = st.text(max_size=60)
LEAVES = (
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False)
)
NODES = st.recursive(
    LEAVES | TEXT | st.binary(max_size=40),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXT, inner, max_size=4),
    max_leaves=20,
)


@given(NODES, st.integers(0, 4))
def test_a_literal_evaluates_to_its_value(node, depth):
    assert eval(flat(node)) == node
    assert eval(rendered(node, depth)) == node


SAMPLES = [
    {"name": 'she said "no"', "quote": "it's", "both": '"\'"', "wide": "日本語" * 12},
    [1, -2.5, None, True, [], {}, [[["deep"]]]],
    {"a": list(range(40)), "b": {"c": ["x" * 30, "y" * 60, "z" * 120]}},
    b"\x00\xffbytes'\"",
    ("one",),
    ("one" * 20, "two" * 20),
    {"key" * 30: "value", "é": "ü\n\t\\", "\u200b": "\ud800"},
    Call("open", [("", Code("path")), ("mode", "r" * 80)]),
    Call("f", []),
]


def test_a_formatter_changes_nothing(tmp_path):
    lines = [f"value_{at} = {rendered(one, 0, 10)}\n" for at, one in enumerate(SAMPLES)]
    lines.append("\n\ndef f():\n    if True:\n")
    lines += [f"        {rendered(Call('f', [('', one)]), 2)}\n" for one in SAMPLES]
    lines += [
        f"        {rendered(Call('client.post', [('', '/x'), ('json', one)]), 2)}\n"
        for one in SAMPLES
    ]
    file = tmp_path / "sample.py"
    file.write_text("".join(lines))
    command = [sys.executable, "-m", "ruff", "format", "--isolated", "--diff", str(file)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stdout + done.stderr


@given(st.text(max_size=80), st.sets(st.sampled_from(["value", "a", "id", "order_id"])))
def test_an_identifier_is_valid_and_unused(text, taken):
    name = identifier(text, taken)
    assert name.isidentifier()
    assert not keyword.iskeyword(name)
    assert name not in taken


def test_identifiers_are_snake_case():
    assert identifier("accessToken", ()) == "access_token"
    assert identifier("class", ()) == "class_"
    assert identifier("x-csrf-token", {"x_csrf_token"}) == "x_csrf_token_2"
