"""Which files are listed as scenarios."""

from __future__ import annotations

from pathlib import Path

from amoc.service.scenarios import Scenarios
from tests.process.support import ROOT

SOURCES = {
    "function": "def start(user_id): ...\n",
    "name": "from shop import start\n",
    "kinds": "import amoc\n\namoc.users({Buyer: 1, browser: 9})\n",
    "kinds_by_name": "from amoc import users\n\nusers({Buyer: 1, browser: 9})\n",
    "locustfile": "from locust import HttpUser, task\n",
    "module": "import locust\n",
}
OTHERS = {
    "helper": "def begin(user_id): ...\n",
    "method": "class Buyer:\n    def start(self): ...\n",
    "comment": "# amoc.users({})\n",
}


def test_files_that_define_users_are_listed_as_scenarios(tmp_path: Path) -> None:
    for name, source in (SOURCES | OTHERS).items():
        (tmp_path / f"{name}.py").write_text(source)
    assert Scenarios(tmp_path, tmp_path / "none").names() == sorted(SOURCES)


def test_all_scenarios_shipped_with_amoc_are_listed(tmp_path: Path) -> None:
    there = ROOT / "scenarios"
    files = {one.relative_to(there).with_suffix("").as_posix() for one in there.rglob("*.py")}
    assert set(Scenarios(there, tmp_path).names()) == files
