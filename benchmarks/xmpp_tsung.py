"""Tsung, for benchmarks/xmpp.py: generates its XML and runs it on its own Erlang VM.

Tsung does not report how many messages it has read, nor how late it was. ``bidi="true"`` is needed:
without it, a user does not read incoming messages while it does nothing else.
"""

from __future__ import annotations

import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from benchmarks.processes import cpu_s, family
from benchmarks.xmpp_measured import DEADLINE_S, PAGE, TEXT, Result, arguments

MOST_LOGINS_PER_S = 200.0
REST_S = 4.0
"""How long a user waits after its login: until all are logged in, and a second more."""

SCRIPT = """<?xml version="1.0"?>
<!DOCTYPE tsung SYSTEM "{dtd}">
<tsung loglevel="warning" version="1.0">
  <clients><client host="localhost" use_controller_vm="true" maxusers="60000"/></clients>
  <servers><server host="{host}" port="{port}" type="tcp"/></servers>
  <load>
    <arrivalphase phase="1" duration="{arrival_s}" unit="second">
      <users maxnumber="{users}" interarrival="{interarrival_s}" unit="second"/>
    </arrivalphase>
  </load>
  <options>
    <option type="ts_jabber" name="global_number" value="{users}"/>
    <option type="ts_jabber" name="userid_max" value="{users}"/>
    <option type="ts_jabber" name="domain" value="localhost"/>
    <option type="ts_jabber" name="username" value="user_"/>
    <option type="ts_jabber" name="passwd" value="password_"/>
    <option name="thinktime" value="{every_s}" random="false"/>
  </options>
  <sessions>
    <session bidi="true" probability="100" name="chat" type="ts_jabber">
      <transaction name="login">
        <request><jabber type="connect" ack="local"/></request>
        <request><jabber type="auth_sasl" ack="local"/></request>
        <request><jabber type="connect" ack="local"/></request>
        <request><jabber type="auth_sasl_bind" ack="local"/></request>
        <request><jabber type="presence:initial" ack="no_ack"/></request>
      </transaction>
      <thinktime value="{rest_s}" random="false"/>
      <for from="1" to="{each}" var="number">
        <transaction name="message">
          <request><jabber type="chat" ack="no_ack" size="{size}" destination="online"/></request>
        </transaction>
        <thinktime value="{every_s}" random="false"/>
      </for>
      <request><jabber type="close" ack="no_ack"/></request>
    </session>
  </sessions>
</tsung>
"""


def main() -> int:
    args = arguments()
    each = max(round(args.rate * args.seconds / args.users), 1)
    result = Result("Tsung", wanted=each * args.users)
    every_s = args.users / args.rate
    arrival_s = max(every_s, args.users / MOST_LOGINS_PER_S)
    with tempfile.TemporaryDirectory() as directory:
        script = Path(directory, "script.xml")
        script.write_text(
            SCRIPT.format(
                dtd="/usr/share/tsung/tsung-1.0.dtd",
                host=args.host,
                port=args.port,
                users=args.users,
                arrival_s=round(arrival_s + 30),
                interarrival_s=arrival_s / args.users,
                every_s=every_s,
                rest_s=arrival_s + REST_S,
                each=each,
                size=len(TEXT),
            )
        )
        command = ["tsung", "-f", str(script), "-l", directory, "start"]
        with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE) as tsung:
            watch(tsung, result, args.users, arrival_s, each * every_s)
            assert tsung.stderr is not None
            said = tsung.stderr.read().decode()
        if tsung.returncode:
            result.errors.append(f"tsung ended with code {tsung.returncode}: {said[:500]}")
        logs = sorted(Path(directory).glob("*/tsung.log"))
        read_log(logs[-1].read_text() if logs else "", result, args.users)
    return result.tell()


def watch(tsung, result: Result, users: int, arrival_s: float, chat_s: float) -> None:
    """Record its CPU time when all are logged in, and when they have sent everything."""
    begin = time.monotonic()
    logged_in_s = arrival_s + REST_S - 1
    time.sleep(2)  # the Erlang VMs start
    idle_kb, idle_cpu = rss_kb(tsung.pid), total_cpu_s(tsung.pid)
    pause_until(begin + 2 + logged_in_s)
    before = total_cpu_s(tsung.pid)
    result.login_ms = (before - idle_cpu) / users * 1e3
    result.user_kb = (rss_kb(tsung.pid) - idle_kb) / users
    pause_until(begin + 2 + arrival_s + logged_in_s + chat_s)
    result.cpu_us = (total_cpu_s(tsung.pid) - before) * 1e6
    try:
        tsung.wait(DEADLINE_S)
    except subprocess.TimeoutExpired:
        tsung.terminate()
        result.errors.append(f"tsung did not end within {DEADLINE_S:g} s")


def pause_until(moment: float) -> None:
    time.sleep(max(moment - time.monotonic(), 0))


def total_cpu_s(pid: int) -> float:
    return sum(cpu_s(one) for one in family(pid))


def rss_kb(pid: int) -> float:
    total = 0
    for one in family(pid):
        try:
            total += int(Path(f"/proc/{one}/statm").read_text().split()[1])
        except OSError:
            continue
    return total * PAGE / 1024


def read_log(log: str, result: Result, users: int) -> None:
    """Parse Tsung's statistics: the first figure of a line is that of its interval."""
    totals: dict[str, int] = {}
    for name, count in re.findall(r"^stats: (\S+) (\d+)\b", log, re.MULTILINE):
        totals[name] = totals.get(name, 0) + int(count)
    result.sent = totals.get("tr_message", 0)
    result.errors += [f"{name}: {n}" for name, n in totals.items() if name.startswith("error")]
    result.cpu_us = max(result.cpu_us, 0.0) / max(result.sent, 1)
    if totals.get("tr_login", 0) < users:
        result.errors.append(f"tsung logged {totals.get('tr_login', 0)} users in")


if __name__ == "__main__":
    sys.exit(main())
