"""Whether throttles are exact, even and cheap, in ``amoc run`` as an operator runs it.

Goals over 10 s, with 1,000 users waiting on two workers: the rate within 0.1 %; no slot before
its time and none twice, over all workers; at 1,000/s the times evenly spaced within 0.3 ms
(standard deviation), 99 % of them less than 2 ms late; under 10 µs of the workers' CPU per token
at 10,000/s and above; a change in force everywhere within 150 ms; a thousand throttles of 10/s at
once (`--many` takes several: 1000x10,4000x1,10000x1).

    python -m benchmarks.throttle [--rates 100,1000,10000,50000] [--many 1000x10] [--only-rates]
        [--seconds 10] [--rounds 1]

Each used slot is recorded by its worker, with its number and the time. That costs about half a
microsecond, which is included in the CPU figures, and so are the users: a loop around `wait`.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from array import array
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

from benchmarks import machine, outcome, processes

SHORT = ["--rates", "100", "--many", "10x10", "--seconds", "1", "--users", "20", "--only-rates"]
HERE = Path(__file__).parent
CHANGES = (("3000", 3000.0), ("100", 100.0), ("pause", 0.0))
OFF_PERCENT, LATE_MS, UNEVEN_MS, CPU_US, CHANGE_MS = 0.1, 2.0, 0.3, 10.0, 150.0


@dataclass
class Slot:
    """One used slot."""

    name: int
    epoch: int
    number: int
    due_ns: int
    used_ns: int


@dataclass
class Result:
    """The slots recorded in a run, in the time in which all its workers recorded."""

    slots: list[Slot]
    seconds: float
    worker_cpu_s: float
    other_cpu_s: dict[str, float]
    """By the role of the process: controller, node, supervisor."""
    asked_ns: int


def others_cpu_s(controller: int) -> dict[str, float]:
    """Return the CPU time of a run's processes except the workers, by role."""
    return {
        role: processes.cpu_s(pid)
        for pid, role in processes.family(controller).items()
        if not role.startswith("worker")
    }


def run(workers: int, users: int, seconds: float, **values: object) -> Result:
    """Run the scenario with the settings `values`."""
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory)
        settings = {"directory": directory, "window": seconds, "user_rate": "infinity", **values}
        process = subprocess.Popen(
            [
                *(sys.executable, "-m", "amoc", "run", str(HERE / "throttle_scenario.py")),
                *(
                    "--users",
                    str(users),
                    "--workers",
                    str(workers),
                    "--run-dir",
                    f"{directory}/run",
                ),
                *("--stop-timeout", "10s", "--json", f"{directory}/summary"),
                *(
                    part
                    for name, value in settings.items()
                    for part in ("--set", f"{name}={value}")
                ),
            ],
            cwd=HERE.parent,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        marks: list[dict[str, float]] = []
        give_up = time.monotonic() + seconds + 60
        for pattern in ("begin-*", "end-*", "*.json"):
            while len(list(path.glob(pattern))) < workers and time.monotonic() < give_up:
                if process.poll() is not None:
                    break
                time.sleep(0.01)
            marks.append(others_cpu_s(process.pid))
        process.terminate()
        output, _ = process.communicate(timeout=60)
        windows = [json.loads(one.read_text()) for one in path.glob("*.json")]
        if len(windows) < workers:
            sys.exit(f"the run did not finish:\n{output}")
        outcome.check_users(json.loads((path / "summary").read_text()))
        begin_ns = max(one["begin"][0] for one in windows)
        end_ns = min(one["end"][0] for one in windows)
        slots = []
        for file in path.glob("*.slots"):
            fields = array("q", file.read_bytes())
            slots += [Slot(*fields[at : at + 5]) for at in range(0, len(fields), 5)]
        asked = path / "asked"
        return Result(
            slots=[one for one in slots if begin_ns <= one.used_ns <= end_ns],
            seconds=(end_ns - begin_ns) / 1e9,
            worker_cpu_s=sum(one["end"][1] - one["begin"][1] for one in windows) / 1e9,
            other_cpu_s={role: end - marks[0].get(role, 0.0) for role, end in marks[1].items()},
            asked_ns=int(asked.read_text()) if asked.exists() else 0,
        )


def quantile(values: list[float], which: float) -> float:
    """Return the quantile `which` by nearest rank."""
    return sorted(values)[min(len(values) - 1, int(which * len(values)))]


def say(what: str, done: str, wanted: str, reached: bool) -> bool:
    """Print one figure with its goal."""
    print(f"    {what:<28}{done:>22}   goal {wanted:<16}{'' if reached else 'MISSED'}")
    return reached


def judge_rate(rate: float, result: Result) -> bool:
    """Print how exact, even and cheap `rate` was; return whether all goals were reached."""
    slots = result.slots
    dues_ns: dict[int, list[int]] = {}
    for one in slots:
        dues_ns.setdefault(one.name, []).append(one.due_ns)
    many = len(dues_ns) > 1
    # Per throttle: a slot of each may be inside or outside at the edges of the window.
    achieved = sum(
        (len(own) - 1) / ((max(own) - min(own)) / 1e9) for own in dues_ns.values() if len(own) > 1
    )
    off = (achieved / rate - 1) * 100
    late_ms = [(one.used_ns - one.due_ns) / 1e6 for one in slots]
    early = sum(one < 0 for one in late_ms)
    twice = len(slots) - len({(one.name, one.epoch, one.number) for one in slots})
    times = sorted(one.used_ns for one in slots)
    uneven_ms = statistics.pstdev((b - a) / 1e6 for a, b in pairwise(times))
    p99_ms = quantile(late_ms, 0.99)
    cpu_us = result.worker_cpu_s / len(slots) * 1e6
    all_us = (result.worker_cpu_s + sum(result.other_cpu_s.values())) / len(slots) * 1e6
    print(f"  goal {rate:,.0f}/s, got {achieved:,.3f}/s over {result.seconds:.1f} s")
    ok = say("off by", f"{off:+.4f} %", f"±{OFF_PERCENT} %", abs(off) <= OFF_PERCENT)
    ok &= say("slots early, twice", f"{early}, {twice}", "0, 0", not early and not twice)
    late = f"{quantile(late_ms, 0.5):.3f}, {p99_ms:.3f}, {max(late_ms):.1f} ms"
    wanted = "-" if many else f"p99 < {LATE_MS:g} ms"
    ok &= say("late: median, p99, max", late, wanted, many or p99_ms < LATE_MS)
    even = rate != 1000 or uneven_ms <= UNEVEN_MS
    wanted = f"{UNEVEN_MS} ms" if rate == 1000 else "-"
    ok &= say("gaps, standard deviation", f"{uneven_ms:.3f} ms", wanted, even)
    cheap = many or rate < 10_000 or cpu_us < CPU_US
    wanted = f"< {CPU_US:g} µs" if rate >= 10_000 and not many else "-"
    ok &= say("CPU per token, workers", f"{cpu_us:.1f} µs", wanted, cheap)
    each = f"{rate / len(dues_ns):g}/s"
    name = f"{len(dues_ns):,} throttles of {each}" if many else each
    outcome.figure(f"{name}, CPU a token, workers", cpu_us, "µs")
    outcome.figure(f"{name}, CPU a token, all processes", all_us, "µs")
    outcome.figure(f"{name}, gaps, standard deviation", uneven_ms, "ms")
    outcome.figure(f"{name}, late, p99", p99_ms, "ms")
    if early or twice:
        outcome.failed(f"{early} slots used too early, {twice} twice")
    say("CPU per token, all processes", f"{all_us:.1f} µs", "-", True)
    shares = {"workers": result.worker_cpu_s, **result.other_cpu_s}
    for role, spent_s in shares.items():
        share = spent_s / result.seconds * 100
        say(f"CPU, {role}", f"{share:.1f} % of a core", "-", True)
        outcome.figure(f"{name}, CPU, {role}", share, "% of a core")
    return ok


def judge_change(what: str, result: Result, new_rate: float) -> bool:
    """Print how long a change took to be in force everywhere; return whether that was in time."""
    old = [one for one in result.slots if one.epoch == 1]
    new = [one for one in result.slots if one.epoch > 1]
    after_ms = (max(one.used_ns for one in old) - result.asked_ns) / 1e6
    ok = say(
        f"{what}: last of the old",
        f"{after_ms:.1f} ms",
        f"< {CHANGE_MS:g} ms",
        after_ms < CHANGE_MS,
    )
    if new_rate:
        first = min(new, key=lambda one: one.due_ns)
        begin_ms = (first.used_ns - result.asked_ns) / 1e6
        ok &= say(
            "  first of the new", f"{begin_ms:.1f} ms", f"< {CHANGE_MS:g} ms", begin_ms < CHANGE_MS
        )
        ok &= say("  no overlap", str(max(one.due_ns for one in old) < first.due_ns), "True", True)
    else:
        ok &= say("  used during the pause", str(len(new)), "0", not new)
    return ok


def main() -> int:
    """Print the goals and the results."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--rates", default="100,1000,10000,50000")
    parser.add_argument("--many", default="1000x10", help="numbers of throttles x their rates")
    parser.add_argument("--seconds", type=float, default=10.0)
    parser.add_argument("--users", type=int, default=1000)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--only-rates", action="store_true", help="no changes")
    options = parser.parse_args()
    print(machine.describe())
    ok = True
    for number in range(options.rounds):
        print(f"round {number + 1}: {options.users} users on {options.workers} workers")
        for text in filter(None, options.rates.split(",")):
            result = run(options.workers, options.users, options.seconds, rate=text)
            ok &= judge_rate(float(text), result)
        if not options.only_rates:
            print("  changes at 1,000/s")
        for change, new_rate in () if options.only_rates else CHANGES:
            result = run(options.workers, options.users, 3.0, rate=1000, change=change)
            ok &= judge_change(change if not new_rate else f"to {change}/s", result, new_rate)
        for text in filter(None, options.many.split(",")):
            names, rate = (float(part) for part in text.split("x"))
            print(f"  {names:,.0f} throttles of {rate:g}/s")
            users = 2 * int(names)
            result = run(options.workers, users, options.seconds, rate=rate, names=int(names))
            ok &= judge_rate(rate * names, result)
    if not ok:
        outcome.missed("see above")
    return outcome.exit_code()


if __name__ == "__main__":
    sys.exit(main())
