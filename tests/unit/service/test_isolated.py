"""Work in a process with a deadline: late work is killed with everything it started."""

from __future__ import annotations

from pathlib import Path

import pytest

from amoc.base.errors import AmocError, ExitCode, PeerError
from amoc.service import isolated
from tests.process.support import eventually

HANGS = """
import subprocess, sys

subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)", {mark!r}])
while True:
    pass
"""


def processes(mark: str) -> list[str]:
    """Processes whose command line contains the mark."""
    found = []
    for one in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            if mark.encode() in one.read_bytes():
                found.append(one.parent.name)
        except OSError:
            continue
    return found


def test_a_scenario_that_hangs_while_loading_is_killed_with_its_children(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mark = f"mark-of-{tmp_path.name}"
    scenario = tmp_path / "hangs.py"
    scenario.write_text(HANGS.format(mark=mark))
    monkeypatch.setattr(isolated, "DESCRIBE_S", 5.0)
    with pytest.raises(PeerError, match="loading the scenario took longer than 5 s"):
        isolated.answer_of("describe", str(scenario))
    eventually(lambda: processes(mark) == [], "its processes have ended")


def test_an_error_keeps_its_exit_code_and_all_its_lines(tmp_path: Path) -> None:
    scenario = tmp_path / "shop.py"
    scenario.write_text("def start(user_id): ...\n")
    with pytest.raises(AmocError) as refusal:
        isolated.cli_json(["plan"], scenario, {"wrong": 1, "also": 2})
    assert refusal.value.exit_code is ExitCode.SETTING
    assert len(str(refusal.value).splitlines()) == 2
