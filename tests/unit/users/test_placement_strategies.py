"""Placements from installed packages: found by name, with their result checked."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from amoc.base.errors import UsageError
from amoc.users import placement_strategies
from amoc.users.placement_strategies import NodeFacts, checked, seats

NODES = [NodeFacts("node0", "h1", 2, 4), NodeFacts("node1", "h2", 1, 2)]


@pytest.fixture
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Installs a placement ``own`` with that body."""
    monkeypatch.syspath_prepend(str(tmp_path))

    def install(body: str) -> None:
        name = f"own_{tmp_path.name}"
        (tmp_path / f"{name}.py").write_text(f"def place(nodes, ids):\n    {body}\n")
        info = tmp_path / "own-1.2.dist-info"
        info.mkdir()
        (info / "METADATA").write_text("Metadata-Version: 2.1\nName: own\nVersion: 1.2\n")
        entry = f"[{placement_strategies.GROUP}]\nown = {name}:place\n"
        (info / "entry_points.txt").write_text(entry)

    return install


def test_an_installed_placement_decides_the_node_of_each_id(installed):
    installed("return [place for place, one in enumerate(nodes) for _ in range(one.workers)]")
    assert checked("own") == "own"
    assert seats("own", NODES, range(1, 11)) == [0, 0, 1]


@pytest.mark.parametrize(
    ("body", "why"),
    [
        ("return []", r"must return 1 to 32768 numbers from 0 to 1, got \[\]"),
        ("return [0, 2]", r"must return .* got \[0, 2\]"),
        ("return [0.0]", "must return"),
        ("return [True]", "must return"),
        ("return [0] * 40_000", "must return"),
        ("return 5", "failed: TypeError: 'int' object is not iterable"),
        ("raise SystemExit(0)", "failed: SystemExit"),
        ("return nodes[5]", "failed: IndexError"),
    ],
)
def test_an_invalid_result_of_a_placement_is_refused_in_one_line(installed, body, why):
    installed(body)
    with pytest.raises(UsageError, match=rf"^placement own \(own_.*:place\) {why}"):
        seats("own", NODES, range(1, 11))


def test_a_missing_placement_is_named_with_the_installed_ones(installed):
    assert checked("blocks") == "blocks"
    installed("return [0]")
    with pytest.raises(ValueError, match="one of round-robin, blocks, weighted, own, got 'ownn'"):
        checked("ownn")
    with pytest.raises(UsageError, match="--placement must be one of round-robin"):
        seats("elsewhere", NODES, range(1, 2))
