"""A health figure is declared once, and is then everywhere: from the board to the pages of docs."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from amoc.base.clock import S_NS, now_ns
from amoc.cli.view.sections import all_of
from amoc.ipc.messages.links import FROM_NODE
from amoc.ipc.messages.samples import Sample
from amoc.metrics.area import Kind
from amoc.metrics.board import Board, Cell
from amoc.metrics.health_figures import NODE, WORKER, NodePoint, Source, cell, key
from amoc.metrics.health_limits import Limits
from amoc.metrics.timer_cells import record
from amoc.results.export.tables import csv_lines, json_lines
from amoc.results.exporters.base import RunInfo
from amoc.results.exporters.names import Naming
from amoc.results.exporters.prometheus_metrics import Families, seconds
from amoc.results.merge import SampleMerger
from amoc.results.per_second import Moment, PointCutter
from amoc.results.report import generator_charts
from amoc.results.report.rows import row_of
from amoc.results.saved_run import SavedRun
from amoc.results.series import Point, Tally
from amoc.runtime.controller.run_state import State
from amoc.runtime.controller.status import Status
from amoc.runtime.node.sampler import Sampler

ROOT, THIS = Path(__file__).parents[2], Path(__file__).parts[-3:]
DOCS = ROOT / "docs"
LEVELS: dict[str, int] = {name: 1_000_000 + at for at, name in enumerate([*WORKER, *NODE])}
"""A level of each figure, which no other has."""
RAW: dict[Source, int] = {Source.TIME: S_NS // 4, Source.SHARE: S_NS // 4, Source.RATE: 2500}
"""By how much a total grows in the second; a worker's timers record 250 ms."""
EXPECTED = {Source.TIME: 0.25, Source.SHARE: 0.25, Source.RATE: 2500.0, Source.TIMER: 0.25}


def travelled(sample: Sample) -> Any:
    """The sample as it comes out of the socket."""
    return FROM_NODE.unpack(FROM_NODE.pack(sample))


@pytest.fixture(scope="module")
def point() -> Point:
    """What a series holds of a second of a node: its board is sampled at its begin and its end."""
    board = Board(1, 10)
    row, began_ns = board.row(0), now_ns()
    node = NodePoint("", **{name: LEVELS[name] for name in NODE})
    host: Any = SimpleNamespace(figures=lambda: node, fds=lambda _: LEVELS["fds"])
    sampler, samples = Sampler(board, host, LEVELS["fd_limit"]), SampleMerger()
    cutter = PointCutter(samples)
    row[Cell.INCARNATION], row[Cell.PID], row[Cell.HEARTBEAT_NS] = 1, 1, began_ns
    samples.take("node0", travelled(sampler.take(range(1, 2), 0)))
    cutter.begin(began_ns)
    for name, figure in WORKER.items():
        if figure.timer:
            cells = board.area(0).declare(Kind.TIMER, figure.timer)
            record(cells, S_NS // 4)
        elif figure.source is not Source.OUTSIDE:
            row[cell(name)] += RAW.get(figure.source, LEVELS[name])
    row[Cell.HEARTBEAT_NS] += S_NS
    samples.take("node0", travelled(sampler.take(range(1, 2), 0)))
    made = cutter.cut(began_ns + S_NS, Moment(0.0, S_NS, "running", 0, {}, 0.0, 0.0))
    assert made is not None
    return Point.from_json(json.loads(json.dumps(made.to_json())))


def told(point: Point, part: str, name: str) -> float:
    """A figure of the point, which is known to be right."""
    if part == "node":
        assert getattr(point.nodes[0], name) == LEVELS[name]
        return LEVELS[name]
    (worker,) = point.workers
    value: float = getattr(worker, name)
    wanted = EXPECTED.get(WORKER[name].source, LEVELS[name])
    assert value == pytest.approx(wanted, rel=0.01)
    return value


EVERY = [
    *(("worker", name, figure) for name, figure in WORKER.items()),
    *(("node", name, figure) for name, figure in NODE.items()),
]
every_figure = pytest.mark.parametrize(("part", "name", "figure"), EVERY)


@every_figure
def test_it_gets_from_the_board_into_the_series(point, part, name, figure):
    assert told(point, part, name)


@every_figure
def test_it_is_exported_with_its_meaning(point, part, name, figure):
    value = told(point, part, name)
    families = Families(RunInfo("a-run", "chat"))
    families.take(point, Tally.of([point]))
    [family] = [one for one in families.collect() if one.name == f"amoc_{part}_{seconds(name)}"]
    assert [sample.value for sample in family.samples] == [value]
    assert family.documentation == figure.help
    path = "workers.node0.0" if part == "worker" else "nodes.node0"
    gauges = {entry.path: entry.value for entry in Naming().entries(point)}
    if name.endswith("_s"):
        assert gauges[f"{path}.{name.removesuffix('_s')}_ms"] == value * 1e3
    else:
        assert gauges[f"{path}.{name}"] == value


@every_figure
def test_it_is_in_the_csv_and_in_the_json(point, part, name, figure):
    value = told(point, part, name)
    record = SavedRun(None, {"run": {"id": "a-run"}}, [point], [], True)
    heads, row = (line.split(",") for line in csv_lines(record))
    place = "workers.node0/0" if part == "worker" else "nodes.node0"
    assert float(row[heads.index(f"{place}.{name}")]) == pytest.approx(value)
    [second] = json.loads("\n".join(json_lines(record)))["points"]
    assert second[f"{part}s"][0][name] == pytest.approx(value)


@every_figure
def test_a_figure_has_a_chart_if_it_declares_one(point, part, name, figure):
    made = generator_charts.workers if part == "worker" else generator_charts.hosts
    charts = {chart.key: chart for chart in made([row_of(1.0, [point], active=True)])}
    chart = charts.get(key(name) if part == "worker" else f"host_{key(name)}")
    assert (chart is not None) is bool(figure.note)
    if chart is not None:
        assert (chart.title, chart.unit, chart.note) == (figure.title, figure.unit, figure.note)
        [line] = [line for line in chart.lines if line.label != "controller"]
        assert line.values == [pytest.approx(told(point, part, name), rel=0.001)]
        if figure.limit:
            assert chart.limits[""] == getattr(Limits(), figure.limit)


@every_figure
def test_a_figure_has_a_column_in_the_view_if_it_declares_one(point, part, name, figure):
    status = Status(state=State.RUNNING)
    status.points.append(point)
    [section] = [one for one in all_of(status) if one.title == "workers"]
    heads = [one.column for one in WORKER.values() if one.column]
    assert list(section.heads) == heads
    row = section.rows[0] if part == "worker" else section.rows[-1]
    if figure.column:
        shown = row[1 + heads.index(figure.column)]
        assert shown[0] if isinstance(shown, tuple) else shown


@every_figure
def test_the_pages_tell_of_it(part, name, figure):
    assert f"`{name}`" in (DOCS / "metrics.md").read_text()
    assert f"| `{part}s.NAME.{name}` |" in (DOCS / "export.md").read_text()
    assert f"| `amoc_{part}_{seconds(name)}` |" in (DOCS / "exporters.md").read_text()


@every_figure
def test_what_the_table_says_of_it_fits_together(part, name, figure):
    limits = Limits()._asdict()
    assert not figure.limit or figure.limit in limits
    assert not figure.controller or figure.controller in limits
    assert not figure.of or figure.of in (WORKER if part == "worker" else NODE)
    assert bool(figure.timer) is (figure.source is Source.TIMER)
    assert bool(figure.note) is bool(figure.title)
    assert not figure.help.endswith(".")
    if part == "node" and figure.column:
        assert figure.column in {one.column for one in WORKER.values()}


NEW = 'depth: int = _figure(Source.LEVEL, "Depth", title="Depth", note="How deep.", column="deep")'


@pytest.mark.slow
def test_a_new_figure_in_the_table_is_everywhere_without_another_change(tmp_path):
    """The tests above hold of it in a copy of amoc, but for that of the pages: it asks for it."""
    for part in ("amoc", "docs", "tests"):
        shutil.copytree(ROOT / part, tmp_path / part, ignore=shutil.ignore_patterns("__pycache__"))
    table = tmp_path / "amoc/metrics/health_figures.py"
    before, fds, after = table.read_text().partition("    fds: int")
    table.write_text(f"{before}    {NEW}\n{fds}{after}")
    found = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-rf", "-k", "worker-depth", Path(*THIS)],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    failed = re.findall(r"^FAILED \S+::(\w+)\[worker-depth-", found.stdout, re.MULTILINE)
    assert failed == ["test_the_pages_tell_of_it"], found.stdout
    assert "1 failed, 6 passed" in found.stdout
