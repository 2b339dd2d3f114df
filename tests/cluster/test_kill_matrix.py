"""Some cells of the kill matrix: a node's supervisor, ssh, power, the controller's cable.

Others are in test_ssh.py and tests/process/test_cluster.py; `python -m tests.cluster.kill_matrix`
runs them all.
"""

from __future__ import annotations

import pytest

from tests.cluster.kill_matrix import CELLS, Cell

pytestmark = pytest.mark.once


@pytest.mark.parametrize(
    "cell", ["supervisor/kill", "launcher/kill", "host/off", "head/cut", "head/loss"]
)
def test_no_cell_of_the_kill_matrix_leaves_or_loses_anything(hosts, tmp_path, cell):
    assert cell in CELLS
    assert Cell(cell, hosts(4), tmp_path).problems() == []
