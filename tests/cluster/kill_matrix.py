"""Kill matrix: whatever fails, nothing is left over, no user runs twice, no reported count is lost.

    python -m tests.cluster.kill_matrix [--rounds 10] [--only node/kill,host/cut] [--at-once 2]

Each cell is a run over ssh on three small hosts. While users run, a fault is injected into one
host, one of its processes or its cable: it is killed, frozen for 10 s, cut off for 10 s, or
switched off; or the cable starts to delay, lose or reorder frames. If AMOC_RAY names a Python that
has Ray, there are cells of runs on a Ray cluster as well. Prints a line for each cell of each
round; the exit code is 1 unless all cells pass. Needs root.

If a cell fails and processes of its run have waited for a core for longer than the run's timeouts
allow, the cell is *starved*: it proves nothing, so it is run again alone, at most twice. As many
cells run in parallel as this machine has idle cores at the start.
"""

from __future__ import annotations

import argparse
import os
import signal
import subprocess
import sys
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, suppress
from pathlib import Path
from typing import NamedTuple

from amoc.base.errors import ExitCode
from amoc.results.run_directory import locate
from amoc.results.saved_run import load
from tests.cluster.hosts import Host, Network
from tests.cluster.patience import DEADLINE_S, eventually
from tests.cluster.ray_cluster import RayCluster, over_ray
from tests.cluster.runs import Run, over_ssh, ran_twice
from tests.cluster.starvation import Starvation, Watch

USERS = 6
AGAIN = 2
"""How often a starved cell is run again."""
NO_CRITERIA = "no criteria"
"""The verdict of a run that has ended and has no thresholds."""
HURT_S = 10.0
REPORTED_S = 2.5
"""Counts this long before a node's end have been reported: reports are sent each second."""
_BOOT_CLOCK = 7
"""The clock of the scenario's log, shared by all hosts here."""
PROCESSES = {
    "node": r"amoc: node\s*$",
    "supervisor": "amoc: supervisor",
    "worker": "amoc: worker",
    "keeper": "amoc: node keeper",
}
"""Processes on the host with the fault."""
OF_RAY = {"actor": "ray::AmocNode", "raylet": r"\S*/raylet "}
"""Processes there in runs on a Ray cluster."""
CABLES = {
    "delay": {"delay_ms": 150.0},
    "loss": {"delay_ms": 5.0, "loss": 0.05},
    "reorder": {"delay_ms": 5.0, "jitter_ms": 30.0},
}
"""How the cable behaves from the fault on (`Network.worsen`)."""
SHOWN_BY = {"delay": "carried", "loss": "lost", "reorder": "overtaken"}
"""The count of frames that proves it."""
VICTIMS = (*PROCESSES, "launcher", "controller")
CELLS = (
    *(f"{victim}/{how}" for victim in VICTIMS for how in ("kill", "freeze")),
    *(f"{host}/{how}" for host in ("host", "head") for how in ("cut", "off", *CABLES)),
)
"""Cable and power belong to a host; the controller's host is the head."""
RAY_CELLS = tuple(f"{victim}/{how}" for victim in OF_RAY for how in ("kill", "freeze"))


class Expected(NamedTuple):
    """The expected outcome of a cell."""

    survives: bool
    """Whether the run continues to its end."""
    loses_node: bool
    """Whether counts on the host since its last report may be lost."""


def expected(cell: str) -> Expected:
    """Return the expected outcome of a cell."""
    victim, _, how = cell.partition("/")
    if how in CABLES:
        return Expected(survives=True, loses_node=False)
    stays = how == "freeze" and victim in ("worker", "supervisor", "launcher", "actor")
    return Expected(victim not in ("controller", "head"), not stays and victim != "worker")


class Cell:
    """A run, and the fault that is injected into it.

    Attributes:
        pids: The first process of each of its hosts, and that of its run.
    """

    def __init__(
        self, name: str, network: Network, directory: Path, cluster: RayCluster | None = None
    ) -> None:
        self.name = name
        self.victim, _, self.how = name.partition("/")
        self.head, *_, self.host = network.hosts[:3] if cluster is not None else network.hosts
        self._network = network
        self._cluster = cluster
        self._directory = directory
        self._cable: Callable[[], dict[str, int]] | None = None
        self.begun_ns = 0
        self.pids = [host.pid for host in network.hosts]

    def problems(self) -> list[str]:
        """Run the cell; return its problems."""
        turns = 40 if self.how == "kill" else 100
        with self._running(turns) as run:
            self.pids.append(run.process.pid)
            run.wait_for_users(USERS)
            place = Path(f"/proc/{self.host.pid}/ns/net").stat().st_ino
            self.begun_ns = time.clock_gettime_ns(_BOOT_CLOCK)
            undo = self._hurt(run)
            time.sleep(HURT_S if self.how in ("freeze", "cut") else 0)
            undo()
            code = run.end()
            found = [*self._left(run), *self._of_cable()]
            twice = ran_twice(run.turns())
            found += [f"users {twice} ran twice at the same time"] if twice else []
            return [*found, *self._verdict(run, code), *self._counts(run, place)]

    def _running(self, turns: int) -> AbstractContextManager[Run]:
        users = ("--users", str(USERS))
        if self._cluster is not None:
            return over_ray(self._cluster, self.head, self._directory, turns, *users)
        return over_ssh(self._network, self._directory, turns, *users)

    def _hurt(self, run: Run) -> Callable[[], object]:
        """Inject the fault; return a function that undoes it where possible."""
        hurt = self.head if self.victim in ("head", "controller", "launcher") else self.host
        if how := CABLES.get(self.how):
            self._cable = self._network.worsen(hurt, **how)
            return lambda: None
        match self.how:
            case "cut":
                self._network.cut(hurt)
                return lambda: self._network.heal(hurt)
            case "off":
                hurt.close()
                return lambda: None
        pid = self._pid(run, hurt)
        if self.how == "kill":
            os.kill(pid, signal.SIGKILL)
            return lambda: None
        os.kill(pid, signal.SIGSTOP)

        def thaw() -> None:
            # nsenter stops itself when its child is stopped.
            for one in (pid, run.process.pid):
                with suppress(ProcessLookupError):
                    os.kill(one, signal.SIGCONT)

        return thaw

    def _pid(self, run: Run, hurt: Host) -> int:
        if self.victim == "controller":
            below = Path(f"/proc/{run.process.pid}/task/{run.process.pid}/children")
            return int(below.read_text().split()[0])
        if self.victim == "launcher":
            return hurt.pid_of(rf"ssh .*\b{self.host.name}\b")
        return hurt.pid_of({**PROCESSES, **OF_RAY}[self.victim])

    def _left(self, run: Run) -> list[str]:
        """Return what is left of the run on any host at the deadline."""
        there = [host for host in (run.head, *run.nodes) if Path(f"/proc/{host.pid}").exists()]

        def left() -> list[str]:
            return [line for host in there for line in run.left_on(host)]

        try:
            eventually(lambda: not left(), lambda: "")
        except AssertionError:
            return [f"left after {DEADLINE_S:g} s: {left()}"]
        return []

    def _of_cable(self) -> list[str]:
        """Return a problem if the cable did not show the intended fault."""
        frames = self._cable() if self._cable else {}
        as_bad = not frames or (frames[SHOWN_BY[self.how]] and not frames["overflowed"])
        return [] if as_bad else [f"the cable did not misbehave as intended: {frames}"]

    def _verdict(self, run: Run, code: int) -> list[str]:
        if not expected(self.name).survives:
            if self.victim == "controller" and self.how == "kill":
                return [] if code else ["the exit code of a killed controller is 0"]
            if self.how == "off":
                return [] if code else ["the exit code on a host without power is 0"]
            lost = int(ExitCode.NODE_LOST)
            return [] if code == lost else [f"exit code {code}, not {lost}: {run.output[-800:]}"]
        if code:
            return [f"exit code {code}: {run.output[-1500:]}"]
        summary = run.summary()
        users, verdict = summary["users"]["finished"], summary["run"]["verdict"]
        found = [] if users == USERS else [f"{users} of {USERS} users have finished"]
        return [*found, *([] if verdict == NO_CRITERIA else [f"the verdict is {verdict}"])]

    def _counts(self, run: Run, place: int) -> list[str]:
        """Compare the counts with the users' log."""
        directory = run.directory / "run"
        if not directory.exists():
            return ["the run has left no directory"]
        counted = load(locate(str(directory))).summary["counters"].get("turns", 0)
        everywhere = [
            (at_place, at_ns)
            for places in run.turns().values()
            for at_place, times in places.items()
            for at_ns in times
        ]
        reported_ns = self.begun_ns - REPORTED_S * 1e9
        if not expected(self.name).survives:
            least = sum(at_ns < reported_ns for _, at_ns in everywhere)
        elif expected(self.name).loses_node:
            least = sum(at != place or at_ns < reported_ns for at, at_ns in everywhere)
        else:  # a worker may be killed between its line and its count
            least = len(everywhere) - (self.how == "kill")
        if not least <= counted <= len(everywhere):
            return [f"counted {counted} turns, of {len(everywhere)} made and {least} reported"]
        return []


class Result(NamedTuple):
    """The result of a cell.

    Attributes:
        problems: What was not as expected.
        starvation: How busy its host was.
    """

    problems: list[str]
    starvation: Starvation

    @property
    def kind(self) -> str:
        """``ok``, ``failed`` or ``starved``."""
        if not self.problems:
            return "ok"
        return "starved" if self.starvation.excuses else "failed"

    def __str__(self) -> str:
        if not self.problems:
            return self.kind
        return f"{self.kind}: {'; '.join(self.problems)} [{self.starvation}]"


def one(name: str) -> Result:
    """Run a cell."""
    cells: list[Cell] = []

    def problems(cell: Cell) -> list[str]:
        cells.append(cell)
        return cell.problems()

    with (
        tempfile.TemporaryDirectory(prefix="amoc-kill-") as made,
        Watch(lambda: [pid for cell in cells for pid in cell.pids]) as watch,
    ):
        directory = Path(made)
        place = directory / "network"
        try:
            if name in RAY_CELLS:
                with RayCluster(place) as cluster:
                    found = problems(Cell(name, cluster.network, directory, cluster))
            else:
                with Network(4, place) as network:
                    found = problems(Cell(name, network, directory))
        except (AssertionError, OSError, subprocess.SubprocessError):
            found = [traceback.format_exc()]
        return Result(found, watch.found)


def idle_cores() -> int:
    """Return how many cells may run in parallel."""
    return max(1, int(len(os.sched_getaffinity(0)) - os.getloadavg()[0]))


def of_round(
    names: list[str], at_once: int, run: Callable[[str], Result] = one
) -> Iterator[tuple[str, Result]]:
    """Run these cells, and starved ones again; yield each with its result."""
    starved = []
    with ThreadPoolExecutor(at_once) as pool:
        for name, result in zip(names, pool.map(run, names), strict=True):
            yield name, result
            if result.kind == "starved":
                starved.append(name)
    for name in starved:
        for _ in range(AGAIN):
            result = run(name)
            yield name, result
            if result.kind != "starved":
                break


def main() -> int:
    """Run all cells for the given number of rounds."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=1)
    known = (*CELLS, *RAY_CELLS)
    cells = known if os.environ.get("AMOC_RAY") else CELLS
    parser.add_argument("--only", default=",".join(cells), help=f"of {', '.join(known)}")
    parser.add_argument("--at-once", type=int, help="cells in parallel (default: idle cores)")
    options = parser.parse_args()
    names = options.only.split(",")
    if unknown := set(names) - set(known):
        parser.error(f"no such cell: {', '.join(sorted(unknown))}")
    counts = Counter[str]()
    for number in range(1, options.rounds + 1):
        for name, result in of_round(names, options.at_once or idle_cores()):
            print(f"{number:3} {name:<20}{result}", flush=True)
            counts[result.kind] += 1
    wanted = options.rounds * len(names)
    print(f"{wanted} cells: {counts['ok']} ok, {counts['failed']} failed, ", end="")
    print(f"{wanted - counts['ok'] - counts['failed']} starved; {counts['starved']} times starved")
    return int(counts["ok"] != wanted)


if __name__ == "__main__":
    sys.exit(main())
