"""Feeds across real workers: each row is used once, whatever is killed; and invalid files."""

from __future__ import annotations

import signal
from collections import Counter

import pytest

from amoc.control.client import request
from amoc.results.run_directory import RunDirectory
from tests.process.support import also_over_nodes, eventually, lines, running

pytestmark = pytest.mark.slow

AT_ONCE = ("--set", "interarrival=0", "--set", "workers=2")
WRITES = """
    import os
    from amoc import feed, sleep, user

    rows = feed.csv("rows.csv", order="unique")

    def init():
        return os.open(HERE + "/used", os.O_WRONLY | os.O_APPEND | os.O_CREAT)

    def start(user_id, fd):
        while True:
            os.write(fd, b"%s\\n" % rows.next()["n"].encode())
            sleep(PAUSE)
"""


def rows_csv(directory, count):
    (directory / "rows.csv").write_text("n\n" + "".join(f"{n}\n" for n in range(count)))


@also_over_nodes("--workers", "2")
def test_users_of_all_workers_use_each_row_once_and_the_feed_ends_the_run(
    scenario, tmp_path, spread
):
    rows_csv(tmp_path, 20_000)
    file = scenario(WRITES.replace("PAUSE", "0"))
    with running(file, "--users", "7", *AT_ONCE[:2], *spread, directory=tmp_path) as run:
        assert run.end() == 0, run.output
        summary = run.summary()
    used = lines(tmp_path / "used")
    assert sorted(map(int, used)) == list(range(20_000))
    assert summary["users"]["finished"] == 7
    counted = {name: n for name, n in summary["counters"].items() if name.startswith("feed.")}
    assert counted == {"feed.rows.csv.used": 20_000, "feed.rows.csv.users_stopped": 7}
    assert summary["gauges"]["feed.rows.csv.rows"] == 20_000
    assert "there will be up to 7 users" not in run.output
    note = "feed rows.csv: 20,000 of 20,000 rows used; it has stopped 7 users"
    assert note in summary["run"]["notes"]
    assert note in run.output


def test_a_queue_that_each_worker_copies_is_noted_once(scenario, tmp_path):
    file = scenario("""
        import os
        import queue

        used = os.open(HERE + "/used", os.O_WRONLY | os.O_APPEND | os.O_CREAT)
        rows = queue.Queue()

        def init():
            for number in range(2):
                rows.put(number)
            return {"known": [1, 2], "latest": iter([1])}

        def start(user_id):
            os.write(used, b"%d\\n" % rows.get_nowait())
    """)
    arguments = ("--users", "4", "--set", "repeat_num=1", *AT_ONCE)
    with running(file, *arguments, directory=tmp_path) as run:
        assert run.end() == 0, run.output
        summary = run.summary()
    assert sorted(lines(tmp_path / "used")) == ["0", "0", "1", "1"]
    note = (
        "each of 2 workers has its own copy of state['latest'] (an iterator), rows (a queue), so"
        " each item is used once per worker"
    )
    (noted,) = [one for one in summary["run"]["notes"] if "own copy" in one]
    assert noted.startswith(note)
    assert run.output.count(f"amoc: {note}") == 1


def test_no_row_is_used_twice_although_workers_are_killed(scenario, tmp_path):
    rows_csv(tmp_path, 20_000)
    file = scenario(WRITES.replace("PAUSE", 'os.path.exists(HERE + "/slowly") / 100'))
    used, slowly = tmp_path / "used", tmp_path / "slowly"
    slowly.touch()
    with running(file, "--users", "20", *AT_ONCE, directory=tmp_path) as run:
        for killed in (0, 1, 0):
            enough = len(lines(used)) + 500
            eventually(lambda enough=enough: len(lines(used)) > enough, "users use rows")
            victim = run.find(f"worker {killed}")[0]
            run.kill(victim, signal.SIGKILL)
            eventually(
                lambda killed=killed, victim=victim: (
                    run.find(f"worker {killed}") not in ([], [victim])
                ),
                "the worker is replaced",
            )
        slowly.unlink()
        assert run.end() == 0, run.output
        summary = run.summary()
    counts = Counter(lines(used))
    assert max(counts.values()) == 1
    assert not set(counts) - {str(n) for n in range(20_000)}
    # A killed worker loses the rows that it had buffered, and each of its users the row in use.
    assert len(counts) <= summary["counters"]["feed.rows.csv.used"] <= 20_000
    assert summary["counters"]["feed.rows.csv.used"] - len(counts) <= 3 * 10
    assert run.output.count("of feed rows.csv; they are not handed out again") <= 3
    assert summary["users"]["finished"] == 20


def test_status_reports_feeds(scenario, tmp_path):
    file = scenario("""
        from amoc import coordinator, feed, sleep

        own = feed.rows(range(3), "circular", "user", name="own")

        def init():
            return feed.rows((n for n in range(100)), name="numbers")

        def start(user_id, rows):
            rows.next(), own.next(), own.next()
            coordinator.barrier("all", 4)
            print("all have used a row")
            sleep(3600)
    """)
    with running(file, "--users", "4", *AT_ONCE, directory=tmp_path) as run:
        run.wait_for_output("all have used a row")

        def status():
            told = request(RunDirectory(run.directory).control, "status", {})
            feeds = {one["name"]: one for one in told["feeds"]}
            return feeds if feeds["own"]["used"] == 8 else None

        feeds = eventually(status, "status counts the rows")
    assert feeds["own"] == {
        "name": "own",
        "order": "circular",
        "share": "user",
        "rows": 3,
        "dealt": None,
        "ended": False,
        "used": 8,
    }
    assert 4 <= feeds["numbers"].pop("dealt") <= 100
    assert feeds["numbers"] == {
        "name": "numbers",
        "order": "unique",
        "share": "run",
        "rows": 100,
        "ended": False,
        "used": 4,
    }


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (None, "rows.csv does not exist"),
        ("n,m\n1,2\n3\n", "rows.csv, line 3: a row must have 2 fields like the header, got 1"),
    ],
)
def test_a_missing_or_invalid_file_ends_the_run_before_it_starts(scenario, tmp_path, text, message):
    if text is not None:
        (tmp_path / "rows.csv").write_text(text)
    with running(scenario(WRITES.replace("PAUSE", "0")), directory=tmp_path) as run:
        assert run.end() == 4, run.output
        assert message in run.output
        assert len(run.output.splitlines()) == 1
    assert not (tmp_path / "used").exists()
