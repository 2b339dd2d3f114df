"""How many functions of amoc an operation passes on its way through the processes of a run.

A walk begins when one function is entered and ends when another is. Each function of amoc, and each
file, counts that any process of a run with one worker enters in between; lambdas and
comprehensions do not. Background work is left out: a call counts only if no call with the same
callers, up to the process's first one, is seen while the only user of such a run sleeps, or
computes. So a heartbeat's messages are not counted, but a throttle's messages sent in the same way
are.

Two walks share their way with others, which are walks of their own:

- Each worker passes the same way from its fork to its first user. A worker's death counts what is
  done in addition, when its replacement goes that way.
- A counter is read with all others, in the sample that is taken each second whether or not anything
  was counted. So the counter's own walk is only what is passed in addition. For the sample,
  background work is what happens between one sample and the next.

A function counts if it is found in each of several runs, so one that a timer brought into a
single walk is left out. Where possible, the operation is done once before it is counted, so that
what happens only the first time is left out, too.

    python -m benchmarks.walks              # all, a line each
    python -m benchmarks.walks throttle     # one, with its functions in order

It needs Python 3.12, whose `sys.monitoring` sees all greenlets of a process.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from functools import cache
from pathlib import Path
from typing import NamedTuple

from benchmarks import outcome

SHORT = ["coordinator", "--runs", "1"]
PYTHON = (3, 12)
ROOT = Path(__file__).parents[1]
LENGTH = ("--duration=8s", "--stop-timeout=2s")
RUN_S = 60.0
"""Time limit for a run."""
PROBE = """
import json, mmap, os, sys
config = json.loads(os.environ["AMOC_WALK"])
flag = mmap.mmap(os.open(config["flag"], os.O_RDWR), 1)
stops = config["stops"]  # the flag counts how many of them were reached
seen, tool, events = set(), sys.monitoring.PROFILER_ID, sys.monitoring.events
os.register_at_fork(after_in_child=seen.clear)

def name_of(code):
    return os.path.relpath(code.co_filename, config["root"]) + ":" + code.co_qualname

def callers():
    frame, names = sys._getframe(2), []
    while frame is not None:
        if frame.f_code.co_filename.startswith(config["root"]):
            names.append(name_of(frame.f_code))
            if names[-1].endswith(":Supervisor._become_worker"):
                break  # the first function of a worker; its callers are those of its parent
        frame = frame.f_back
    return " < ".join(names)

def entered(code, offset):
    if not code.co_filename.startswith((config["root"], config["scenario"])):
        return sys.monitoring.DISABLE
    name = name_of(code)
    begun = flag[0] == len(stops) - 1
    if flag[0] < len(stops) and name.endswith(stops[flag[0]]):
        flag[0] += 1
        begun = flag[0] >= len(stops) - 1
    if not begun:
        return None
    way = callers()
    if code.co_filename.startswith(config["root"]) and way not in seen:
        seen.add(way)
        with open(config["out"], "ab", buffering=0) as out:  # a node closes what it inherits
            out.write((way + "\\n").encode())
    return None

sys.monitoring.use_tool_id(tool, "walks")
sys.monitoring.register_callback(tool, events.PY_START, entered)
sys.monitoring.set_events(tool, events.PY_START)
"""

SCENARIO = """
import os, signal
from amoc import coordinator, metrics, setting, sleep, throttle

def begin_walk(): pass
def end_walk(*_): pass

def changed(*_):
    if ready: end_walk()

ready = False
limit = setting(1, "What to keep to.", update=changed)
counter = metrics.counter("counted")

def init():
    throttle.start("logins", 6000)
    coordinator.start("pairs", (1, met))

meetings = []

def met(event, users):
    meetings.append(users)
    if len(meetings) == 2:
        end_walk()

def start(user_id):
    global ready
    {body}
    sleep(1000)
"""


class Walk(NamedTuple):
    """A walk: where it begins and ends, and what the user does."""

    what: str
    stops: tuple[str, ...]
    """Functions that are entered in this order; the walk is between the last two."""
    body: str
    commands: tuple[tuple[str, ...], ...] = ()
    background: tuple[str, ...] = ("idle",)
    """Walks whose calls are not counted."""


MARKED = (":begin_walk", ":end_walk")
SAMPLE, SECOND = ":WorkerWatch.each_second", ":RunTotals.add"
BACKGROUND = {
    "idle": Walk(
        "idle",
        MARKED,
        # The heartbeat of a busy worker differs from that of an idle one.
        "sleep(2); begin_walk(); sleep(1);"
        " [sleep(0.02 + 0 * sum(range(50_000))) for _ in range(100)]; sleep(1); end_walk()",
    ),
    "between samples": Walk(
        "between samples", (":begin_walk", SECOND, SAMPLE), "sleep(2); begin_walk()"
    ),
}
TWICE = "sleep(2); {0}; sleep(1); begin_walk(); {0}; "
WALKS = {
    "start": Walk(
        "the start of a user that is added",
        (":ControlServer._serve", "walk.py:start"),
        "open('ready', 'w').close()",
        (("add", "1"),),
    ),
    "throttle": Walk(
        "a slot of a throttle", MARKED, TWICE.format("throttle.wait('logins')") + "end_walk()"
    ),
    "coordinator": Walk(
        "a group of a coordinator", MARKED, TWICE.format("coordinator.add('pairs')") + "sleep(2)"
    ),
    "counter": Walk(
        "a counter, beyond what each sample passes",
        MARKED,
        "sleep(1); counter.inc(); sleep(2.2); begin_walk(); counter.inc(); sleep(2.5); end_walk()",
    ),
    "sample": Walk(
        "a sample, from the board to the sums of the run",
        (":begin_walk", SAMPLE, SECOND),
        "sleep(2); begin_walk()",
        background=("between samples",),
    ),
    "setting": Walk(
        "a change of a setting",
        (":ControlServer._serve", ":end_walk"),
        "ready = True; open('ready', 'w').close()",
        (("set", "limit=2"),),
    ),
    "worker": Walk(
        "the start of a worker, up to that of its user",
        (":Supervisor._fork", "walk.py:start"),
        "pass",
    ),
    "death": Walk(
        "a worker's death, up to its user's second start, beyond the start of a worker",
        MARKED,
        "end_walk() if os.path.exists('died') else"
        " (sleep(2), open('died', 'w').close(), begin_walk(), os.kill(os.getpid(), 9))",
        background=("idle", "worker"),
    ),
}


def walk(one: Walk, root: Path) -> list[str]:
    """Return the calls, each with its callers, in the order in which they first occurred."""
    with tempfile.TemporaryDirectory() as place:
        here = Path(place)
        (here / "probe").mkdir()
        (here / "probe/sitecustomize.py").write_text(PROBE)
        (here / "flag").write_bytes(b"\0")
        (here / "out").touch()
        (here / "walk.py").write_text(SCENARIO.replace("{body}", one.body))
        config = {
            "flag": str(here / "flag"),
            "out": str(here / "out"),
            "root": str(root / "amoc") + "/",
            "scenario": str(here / "walk.py"),
            "stops": one.stops,
        }
        environment = {
            **os.environ,
            "PYTHONPATH": f"{here / 'probe'}:{root}",
            "AMOC_WALK": json.dumps(config),
        }
        command = [sys.executable, "-m", "amoc"]
        run = subprocess.Popen(
            [*command, "run", "walk.py", "--users=1", "--workers=1", "--run-dir=run", *LENGTH],
            cwd=here,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        try:
            for arguments in one.commands:
                until = time.monotonic() + RUN_S
                while not (here / "ready").exists() and time.monotonic() < until:
                    time.sleep(0.1)
                plain = {**os.environ, "PYTHONPATH": str(root)}
                subprocess.run(
                    [*command, *arguments, "--run", "run"],
                    cwd=here,
                    env=plain,
                    stdout=subprocess.DEVNULL,
                    check=True,
                )
            said, _ = run.communicate(timeout=RUN_S)
        except BaseException:
            run.kill()
            run.wait()
            raise
        if (here / "flag").read_bytes()[0] < len(one.stops):
            raise RuntimeError(f"{one.what}: the walk did not reach its end:\n{said}")
        return list(dict.fromkeys((here / "out").read_text().splitlines()))


def passed(calls: list[str], background: set[str]) -> list[str]:
    """Return the functions entered by calls that are not in the background, with their files."""
    names = [one.partition(" < ")[0] for one in calls if one not in background]
    return [one for one in dict.fromkeys(names) if not one.endswith(">")]


def main() -> int:
    """Run the walks, and print their lengths."""
    parser = argparse.ArgumentParser(description=str(__doc__).partition("\n")[0])
    parser.add_argument("walk", nargs="?", choices=WALKS, help="only this one, with its functions")
    parser.add_argument("--root", type=Path, default=ROOT, help="directory of the amoc to trace")
    parser.add_argument("--runs", type=int, default=2, help="number of runs per walk")
    options = parser.parse_args()
    if sys.version_info < PYTHON:
        wanted = ".".join(map(str, PYTHON))
        outcome.missed(f"needs Python {wanted} or later, got {sys.version.split()[0]}")
        return outcome.exit_code()

    @cache
    def traced(name: str) -> list[list[str]]:
        one = {**BACKGROUND, **WALKS}[name]
        return [walk(one, options.root) for _ in range(options.runs)]

    for name in [options.walk] if options.walk else WALKS:
        background = {
            call for other in WALKS[name].background for calls in traced(other) for call in calls
        }
        runs = [passed(calls, background) for calls in traced(name)]
        functions = [one for one in runs[0] if all(one in run for run in runs)]
        files = {one.partition(":")[0] for one in functions}
        if options.walk:
            print(*functions, sep="\n")
        print(f"{WALKS[name].what}: {len(functions)} functions in {len(files)} files")
        outcome.figure(f"{WALKS[name].what}, functions", len(functions), "")
        outcome.figure(f"{WALKS[name].what}, files", len(files), "")
    return outcome.exit_code()


if __name__ == "__main__":
    sys.exit(main())
