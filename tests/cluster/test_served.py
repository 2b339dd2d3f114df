"""A server with runs on other hosts, which are chosen by its operator and not by clients."""

from __future__ import annotations

import re
import subprocess
import sys
import textwrap
from pathlib import Path

from tests.cluster.hosts import ROOT
from tests.cluster.patience import DEADLINE_S, eventually

SCENARIO = """
    import os
    log = os.open(HERE + "/log", os.O_WRONLY | os.O_APPEND | os.O_CREAT)

    def start(user_id):
        os.write(log, f"{os.stat('/proc/self/ns/net').st_ino}\\n".encode())
"""


def test_runs_are_on_the_hosts_of_the_server_or_on_fewer_or_on_its_own(hosts, tmp_path: Path):
    network = hosts(3)
    head, *_ = network.hosts
    scenario = tmp_path / "trial.py"
    scenario.write_text(textwrap.dedent(SCENARIO).replace("HERE", repr(str(tmp_path))))
    log, amoc = tmp_path / "log", [sys.executable, "-m", "amoc"]
    env = {"TMPDIR": str(head.home), "PYTHONPATH": str(ROOT), "XDG_CACHE_HOME": str(head.home)}
    cluster = ["--cluster", "ssh://h2,h3", "--remote-amoc", f"{sys.executable} -m amoc"]
    with (tmp_path / "serve.txt").open("wb") as output:
        server = subprocess.Popen(
            head.inside([*amoc, "serve", "--listen", "0", *cluster], env),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            cwd=head.home,
        )

    def said() -> str:
        return (tmp_path / "serve.txt").read_text()

    def run(command: str, *options: str) -> tuple[int, str]:
        """Run it; return the number of hosts it was on, and the output."""
        log.unlink(missing_ok=True)
        url = re.search(r"http\S+", said())
        assert url is not None
        done = subprocess.run(
            head.inside([*amoc, command, "--server", url[0], *options], env),
            capture_output=True,
            text=True,
            timeout=DEADLINE_S,
        )
        assert done.returncode == 0, done.stdout + done.stderr + said()
        return len(set(log.read_text().split())), done.stdout

    try:
        eventually(lambda: "amoc serves http" in said() or server.poll() is not None, said)
        start = [str(scenario), "--users", "4", "--workers", "1", "--limited-ok"]
        once = ["--set", "repeat_num=1", "--set", "user_rate=infinity"]
        assert run("run", *start, *once)[0] == 2
        assert run("run", *start, *once, "--nodes", "1")[0] == 1
        own = Path(f"/proc/{head.pid}/ns/net").stat().st_ino
        assert run("run", *start, *once, "--cluster", "local:2")[0] == 1
        assert {int(one) for one in log.read_text().split()} == {own}
        assert run("replay", "last~2")[0] == 2
    finally:
        children = Path(f"/proc/{server.pid}/task/{server.pid}/children").read_text().split()
        subprocess.run(["kill", "-TERM", *children], timeout=DEADLINE_S, check=False)
        server.wait(DEADLINE_S)
