"""The console without a terminal: lines are not broken, and nothing is drawn."""

from __future__ import annotations

import subprocess
import sys

import pytest

WRITES = """
from rich.table import Table
from rich.text import Text
from amoc.cli.view.console import console

console = console(patient={patient})
console.print(Text("finding " * 60 + "end"))
table = Table(box=None)
table.add_column("cause")
table.add_row("c" * 240)
console.print(table)
print(console.is_terminal)
"""


@pytest.mark.slow
@pytest.mark.parametrize("patient", [True, False])
@pytest.mark.parametrize("wish", [{}, {"FORCE_COLOR": "1"}, {"COLUMNS": "40"}])
def test_without_a_terminal_lines_are_not_broken_and_nothing_is_drawn(patient, wish):
    done = subprocess.run(
        [sys.executable, "-c", WRITES.format(patient=patient)],
        env={"PYTHONPATH": ":".join(sys.path), **wish},
        capture_output=True,
        text=True,
        check=True,
    )
    text, head, row, drawn = done.stdout.splitlines()
    assert text == "finding " * 60 + "end"
    assert head.strip() == "cause"
    assert row.strip() == "c" * 240
    assert drawn == "False"
