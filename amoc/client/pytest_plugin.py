"""The pytest plugin: the fixture `amoc_run` and the marker `amoc`, see `docs/client.md`.

pytest loads this in every project where amoc is installed. So it prints nothing, and imports almost
nothing until the fixture is used.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from amoc.client.result import RunResult

_DIRECTORY = "--amoc-runs-dir"
_MARKER = "amoc"
_HELP = (
    "amoc(scenario=…, users=…, …): the scenario and the options of amoc.run() that amoc_run() uses"
    " by default."
)


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the option of the plugin."""
    parser.getgroup("amoc", "load tests with amoc").addoption(
        _DIRECTORY,
        metavar="DIR",
        help="Keep the run directories of amoc_run() here.  [default: in the test's tmp_path]",
    )


def pytest_configure(config: pytest.Config) -> None:
    """Declare the marker."""
    config.addinivalue_line("markers", _HELP)


class AmocRun:
    """Runs scenarios for a test.

    Attributes:
        results: Results of the test's runs so far.
    """

    def __init__(self, item: pytest.Item, runs_dir: Path) -> None:
        """Run scenarios for the test `item`, with run directories in `runs_dir`."""
        self.results: list[RunResult] = []
        self._item = item
        self._runs_dir = runs_dir
        self._marked: dict[str, Any] = {}  # a marker takes anything; `amoc.run` checks it
        for mark in reversed(list(item.iter_markers(_MARKER))):  # the closest one comes last
            self._marked.update(mark.kwargs)
            if mark.args:
                self._marked["scenario"] = mark.args[0]

    def __call__(
        self, scenario: str | Path | None = None, *, check: bool = True, **options: Any
    ) -> RunResult:  # `amoc.run` checks its options
        """Run a scenario to its end.

        Args:
            scenario: A module, or a file relative to the test's directory or the current one; None
                for the marker's scenario.
            check: Whether to fail the test unless the run is ok.
            options: As for `amoc.run`; they override the marker's.

        Returns:
            The result.

        Raises:
            AssertionError: The run is not ok; the message says why.
            AmocError: The run failed before a user could start.
        """
        from amoc.client import Stopped, run

        chosen = {"runs_dir": self._runs_dir, **self._marked, **options}
        if scenario is not None:
            chosen["scenario"] = scenario
        if "scenario" not in chosen:
            raise TypeError("amoc_run() requires a scenario, from its argument or the marker amoc")
        try:
            result = run(self._found(chosen.pop("scenario")), **chosen)
        except Stopped as stopped:
            self._attach(stopped.result)
            raise
        self._attach(result)
        if check and not result.ok:
            pytest.fail(result.why, pytrace=False)
        return result

    def _found(self, scenario: str | Path) -> str | Path:
        """Return the path of a scenario in the test's directory, relative to the current one."""
        beside = self._item.path.parent / scenario
        if not beside.is_file():
            return scenario
        here = Path.cwd()
        return beside.relative_to(here) if beside.is_relative_to(here) else beside

    def _attach(self, result: RunResult) -> None:
        """Add the run to the test's report, and so to JUnit XML."""
        self.results.append(result)
        self._item.user_properties += [
            ("amoc_verdict", result.verdict),
            ("amoc_run_directory", str(result.directory)),
            ("amoc_report", str(result.report)),
        ]
        self._item.add_report_section("call", "amoc", f"{result!r}\nreport: {result.report}\n")


@pytest.fixture
def amoc_run(request: pytest.FixtureRequest, tmp_path: Path) -> AmocRun:
    """Run a scenario of amoc, and fail the test if a threshold fails. See `AmocRun`."""
    given = request.config.getoption(_DIRECTORY)
    return AmocRun(request.node, Path(given) if given else tmp_path / "amoc-runs")
