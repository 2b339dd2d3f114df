"""Starter scenarios of each kind."""

from __future__ import annotations

import ast
import subprocess
import sys

import pytest

from amoc.recording import from_kind
from tests.rooms import ROOT

EXAMPLES = {"websocket": "websocket_echo", "mqtt": "mqtt_publish"}


def code(text: str) -> str:
    """Return the syntax tree of `text` without its docstring, independent of layout."""
    module = ast.parse(text)
    return ast.dump(ast.Module(module.body[1:], []))


@pytest.mark.parametrize("kind", EXAMPLES)
def test_the_output_equals_the_example_scenarios(kind: str) -> None:
    name = EXAMPLES[kind]
    example = (ROOT / "scenarios" / "protocols" / f"{name}.py").read_text()
    written = from_kind.convert(kind, name).files[f"{name}.py"].decode()
    assert code(written) == code(example)
    plain = " ".join(example.split('"""')[1].split()).replace("scenarios/protocols/", "")
    assert " ".join(written.split('"""')[1].split()) == plain


@pytest.mark.parametrize("kind", from_kind.KINDS)
def test_the_output_passes_formatters_and_linters(kind: str, tmp_path) -> None:
    written = from_kind.convert(kind, "trial")
    assert set(written.files) == {"trial.py", "test_trial.py"}
    for name, content in written.files.items():
        assert from_kind.PLACE.encode() not in content
        (tmp_path / name).write_bytes(content)
    for command in (["format", "--diff"], ["check"]):
        done = subprocess.run(
            [sys.executable, "-m", "ruff", *command[:1], "--isolated", *command[1:], str(tmp_path)],
            capture_output=True,
            text=True,
            timeout=60,
        )
        assert done.returncode == 0, done.stdout + done.stderr
