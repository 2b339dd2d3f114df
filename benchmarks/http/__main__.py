"""What a request costs amoc, wrk, hey, Locust and aiolocust, alternating on one nginx.

Goals for amoc, with its steps, checks and statistics: at most 18 µs of CPU per request with up to
100 users and 22 with more, at most 2.5 times wrk's and a fifth of FastHttpUser's; with TLS at most
1.5 times as much as without.

    python -m benchmarks.http [--users 50] [--workers 1] [--seconds 5] [--rounds 3] [--tls]
        [--only amoc,amoc-twice,wrk,wrk-twice,hey,locust,locustfile,aiolocust]
        [--locust PYTHON] [--aiolocust PYTHON] [--http-user]

Each contender fetches /item/N as fast as it can on as many connections as there are users. The CPU
time of its own processes per request is taken from nginx's count of requests and the kernel's CPU
time between two moments in the middle; the medians of the rounds count. amoc's figure is the CPU
time of its workers; its other processes are reported separately. Contenders that are not installed
are left out, with a message. Locust may be installed for another Python, given by --locust; it runs
a FastHttpUser, or with --http-user an HttpUser. The contender locustfile is amoc running Locust's
file unchanged. aiolocust needs a free-threaded Python, given by --aiolocust, and runs on one event
loop; this has not been tried with such a Python yet. amoc-twice is amoc with twice as many workers,
which should do 1.9 times as many requests with as much CPU time each. How many more they do per
second is only meaningful if each has a core of its own besides nginx's. wrk-twice is wrk with two
threads instead of one: what wrk falls short of 2 is due to the machine.
"""

from __future__ import annotations

import argparse
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from benchmarks import machine, outcome
from benchmarks.amoc_run import amoc_run
from benchmarks.http.server import Web, nginx
from benchmarks.processes import cpu_s, end_group, family

SHORT = ["--users", "10", "--seconds", "1", "--rounds", "1", "--only", "amoc,wrk"]
NEEDS = ["nginx"]
HERE = Path(__file__).resolve().parent
CONTENDERS = ("amoc", "amoc-twice", "wrk", "wrk-twice", "hey", "locust", "locustfile", "aiolocust")
OF_AMOC = ("amoc", "amoc-twice", "locustfile")
ASKED = {
    "locust": """
import sys

try:
    import locust
except ImportError:
    sys.exit("Locust is not installed for that Python (--locust names one)")
""",
    "aiolocust": """
import sys, sysconfig

if not sysconfig.get_config_var("Py_GIL_DISABLED"):
    found = sys.version.split()[0]
    sys.exit(f"it needs a free-threaded Python (--aiolocust names one), got {found}")
try:
    import aiolocust
except ImportError:
    sys.exit("aiolocust is not installed for that Python (--aiolocust names one)")
""",
}
"""What a contender's interpreter is asked; it exits with a message if it does not suit."""
USER = "BENCHMARK_USER"
WARM_S = 1.5
END_S = 60.0
FEW_USERS, FEW_US, MANY_US = 100, 18.0, 22.0
MOST_OF_WRK, MOST_OF_LOCUST, MOST_OF_PLAIN = 2.5, 0.2, 1.5
LEAST_OF_TWO = 1.9


class Measured(NamedTuple):
    """Result of one contender in one round."""

    requests: int
    seconds: float
    cpu_us: float
    """Requests."""
    other_cpu_us: float = 0.0
    late_ms: float | None = None
    """Its own lateness at the 99th percentile, if known."""


def missing(name: str, options: argparse.Namespace) -> str:
    """Return why a contender cannot take part; empty if it can."""
    program = name.removesuffix("-twice")
    if program in ("wrk", "hey") and not shutil.which(program):
        return f"{program} is not installed (apt install {program})"
    if name in ASKED:
        return refused(getattr(options, name), ASKED[name])
    return ""


def refused(python: str, code: str) -> str:
    """Return the message with which `code` exits under an interpreter; empty if it has none."""
    try:
        asked = subprocess.run(
            [python, "-c", code], capture_output=True, text=True, check=False, timeout=END_S
        )
    except OSError as error:
        return str(error)
    return asked.stderr.strip().splitlines()[-1] if asked.returncode else ""


def command(name: str, url: str, options: argparse.Namespace, directory: Path) -> list[str]:
    """Return the command of a contender other than amoc."""
    users, lasts = str(options.users), f"{round(END_S + WARM_S + options.seconds + 5)}s"
    if name in ("wrk", "wrk-twice"):
        threads = "2" if name == "wrk-twice" else "1"
        return ["wrk", "-t", threads, "-c", users, "-d", lasts, f"{url}/item/7"]
    if name == "hey":
        return ["hey", "-cpus", "1", "-c", users, "-z", lasts, f"{url}/item/7"]
    if name == "aiolocust":
        return [
            *(options.aiolocust, "-m", "aiolocust", str(HERE / "aiolocustfile.py")),
            *("--users", users, "--duration", lasts.removesuffix("s"), "--host", url),
            *("--event-loops", "1"),
        ]
    return [
        *(options.locust, "-m", "locust", "-f", str(HERE / "locustfile.py"), "--headless"),
        *("-u", users, "-r", users, "-t", lasts, "-H", url, "--only-summary"),
        *("--csv", str(directory / "locust")),
    ]


@contextmanager
def started(name: str, url: str, options: argparse.Namespace) -> Iterator[int]:
    """Run a contender other than amoc; yield its process."""
    with tempfile.TemporaryDirectory(prefix="amoc-benchmark-") as directory:
        output = Path(directory) / "output"
        with output.open("w") as file:
            process = subprocess.Popen(
                command(name, url, options, Path(directory)),
                stdout=file,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        try:
            yield process.pid
            if process.poll() is not None:
                outcome.failed(f"{name} ended early:\n{output.read_text()[-2000:]}")
        finally:
            end_group(process)


def between(pid: int, web: Web, seconds: float) -> tuple[int, float, dict[str, float]]:
    """Return requests, seconds, and CPU seconds by role, between two moments."""
    roles = family(pid)
    before, begin, begin_cpu = web.answered(), time.monotonic(), {p: cpu_s(p) for p in roles}
    time.sleep(seconds)
    after, end = web.answered(), time.monotonic()
    used = {f"{role} {p}": cpu_s(p) - begin_cpu[p] for p, role in roles.items()}
    return after - before - 1, end - begin, used


def wait_until_warm(name: str, web: Web, users: int) -> None:
    """Wait until requests are made, and a little longer."""
    give_up = time.monotonic() + END_S
    before, asked = web.answered(), 0
    while web.answered() - before - asked < 3 * users:
        asked += 1  # which nginx counts, too
        if time.monotonic() > give_up:
            outcome.failed(f"{name} has requested nothing within {END_S:g} s")
            sys.exit(outcome.Exit.FAILED)
        time.sleep(0.05)
    time.sleep(WARM_S)


def measure(name: str, web: Web, options: argparse.Namespace) -> Measured:
    """Run one round of one contender."""
    url = web.tls_url if options.tls else web.url
    if name not in OF_AMOC:
        with started(name, url, options) as pid:
            wait_until_warm(name, web, options.users)
            requests, seconds, used = between(pid, web, options.seconds)
        return Measured(requests, seconds, sum(used.values()) / max(requests, 1) * 1e6)
    settings = {"base": url, "ca": web.ca if options.tls else ""}
    if name == "locustfile":
        settings = {"host": url}
    scenario = HERE / ("locustfile.py" if name == "locustfile" else "scenario.py")
    workers = 2 * options.workers if name == "amoc-twice" else options.workers
    with amoc_run(scenario, options.users, workers, settings) as run:
        wait_until_warm(name, web, options.users)
        requests, seconds, used = between(run.process.pid, web, options.seconds)
        summary = run.finish(stop=True)
    if failures := summary["counters"].get("GET /item/[id].failures", 0):
        outcome.failed(f"{failures} requests of amoc failed")
    ours = sum(cpu for role, cpu in used.items() if role.startswith("worker"))
    others = sum(used.values()) - ours
    late = summary["timers"]["loop_lag"]["p99_s"] * 1e3
    per = 1e6 / max(requests, 1)
    return Measured(requests, seconds, ours * per, others * per, late)


def show(results: dict[str, list[Measured]], options: argparse.Namespace) -> dict[str, float]:
    """Print a line for each contender; return the CPU time per request by contender."""
    cost = {
        name: statistics.median(one.cpu_us for one in rounds) for name, rounds in results.items()
    }
    print(f"goal: as many requests as {options.users} users can make, {options.seconds:g} s")
    print(
        f"{'':10}{'done':>10}{'per s':>10}{'per CPU s':>10}{'CPU, µs':>10}{'ratio':>8}"
        f"{'spread':>15}{'late, ms':>10}"
    )
    for name, rounds in results.items():
        rate = statistics.median(one.requests / one.seconds for one in rounds)
        low, high = min(one.cpu_us for one in rounds), max(one.cpu_us for one in rounds)
        late = rounds[-1].late_ms
        ratio = cost[name] / cost["amoc"] if "amoc" in cost else float("nan")
        print(
            f"{name:10}{sum(one.requests for one in rounds):>10}{rate:>10.0f}"
            f"{1e6 / cost[name]:>10.0f}"
            f"{cost[name]:>10.1f}{ratio:>8.2f}{f'{low:.1f}-{high:.1f}':>15}"
            f"{'unknown' if late is None else f'{late:.1f}':>10}"
        )
        outcome.figure(f"{name}: CPU a request", cost[name], "µs")
    if "amoc" in results:
        others = statistics.median(one.other_cpu_us for one in results["amoc"])
        print(f"amoc's other processes: {others:.1f} µs per request")
    for name, twice, what in (
        ("amoc", "amoc-twice", "workers"),
        ("wrk", "wrk-twice", "threads of wrk"),
    ):
        if {name, twice} <= results.keys():
            one, two = (
                statistics.median(one.requests / one.seconds for one in results[each])
                for each in (name, twice)
            )
            more = 2 * cost[name] / cost[twice]
            print(
                f"twice as many {what}: {more:.2f} times as many requests for as much CPU time"
                f" each, and {two / one:.2f} times as many per second"
            )
            outcome.figure(f"two {what} for one", more, "times")
    return cost


def judge(cost: dict[str, float], options: argparse.Namespace) -> None:
    """Report the goals that were missed."""
    ours = cost.get("amoc")
    if ours is None:
        return
    most = FEW_US if options.users <= FEW_USERS else MANY_US
    if not options.tls and ours > most:
        outcome.missed(f"{ours:.1f} µs per request, goal: at most {most:g}")
    if "amoc-twice" in cost and 2 * ours < LEAST_OF_TWO * cost["amoc-twice"]:
        more = 2 * ours / cost["amoc-twice"]
        outcome.missed(f"two workers do {more:.2f} times as much as one, goal: {LEAST_OF_TWO}")
    if "wrk" in cost and ours > MOST_OF_WRK * cost["wrk"]:
        outcome.missed(f"{ours / cost['wrk']:.2f} times wrk's CPU, goal: at most {MOST_OF_WRK}")
    if "locust" in cost and ours > MOST_OF_LOCUST * cost["locust"]:
        ahead = cost["locust"] / ours
        outcome.missed(f"Locust takes {ahead:.1f} times as much, goal: {1 / MOST_OF_LOCUST:g}")


def main() -> int:
    """Print the goals and the results."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--users", type=int, default=50)
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--seconds", type=float, default=5.0)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--tls", action="store_true")
    parser.add_argument("--only", default=",".join(CONTENDERS), help="separated by commas")
    parser.add_argument("--locust", default=sys.executable, metavar="PYTHON")
    parser.add_argument("--aiolocust", default=sys.executable, metavar="PYTHON")
    parser.add_argument("--http-user", action="store_true")
    options = parser.parse_args()
    names = options.only.split(",")
    if options.http_user:
        os.environ[USER] = "HttpUser"
    if unknown := sorted(set(names) - set(CONTENDERS)):
        parser.error(f"--only must name some of {', '.join(CONTENDERS)}, got {', '.join(unknown)}")
    print(machine.describe())
    taking_part = []
    for name in names:
        if reason := missing(name, options):
            print(f"{name}: left out, {reason}")
        else:
            taking_part.append(name)
    results: dict[str, list[Measured]] = {name: [] for name in taking_part}
    with nginx() as web:
        for _ in range(options.rounds):
            for name in taking_part:
                results[name].append(measure(name, web, options))
        cost = show(results, options)
        if options.tls and "amoc" in cost:
            plain = argparse.Namespace(**{**vars(options), "tls": False})
            rounds = [measure("amoc", web, plain) for _ in range(options.rounds)]
            without = statistics.median(one.cpu_us for one in rounds)
            print(f"amoc without TLS: {without:.1f} µs, with it {cost['amoc'] / without:.2f} times")
            if cost["amoc"] > MOST_OF_PLAIN * without:
                outcome.missed(f"goal: with TLS at most {MOST_OF_PLAIN} times that")
    judge(cost, options)
    return outcome.exit_code()


if __name__ == "__main__":
    sys.exit(main())
