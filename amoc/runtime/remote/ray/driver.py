"""The process that uses Ray: it has keepers started on a number of hosts, and watches them.

Ray has its own threads and event loop, and ends the process that uses it when its head is lost. So
this is a process separate from the run. The first line of its standard input contains its task, and
it cleans up when standard input closes. What it prints is for the starter: lines of JSON that begin
with `MARK`, interspersed with Ray's own output.

Ray removes what a driver has started when the driver dies, so nothing remains either way.
"""

from __future__ import annotations

import json
import logging
import os
import socket
import sys
import threading
from contextlib import suppress
from itertools import count
from typing import Any, NamedTuple, TypeAlias

from amoc.base import process
from amoc.runtime.remote.ray import actor, hosts
from amoc.runtime.remote.ray.actor import NOT_FOUND

MARK = "amoc-ray "
SAY, TROUBLE, STATE, NODE = "say", "trouble", "state", "node"
"""Kinds of messages: a line for the operator; why a host cannot join; the current state; a host's
name and its Ray node."""
ID_LENGTH = 8
"""Digits shown of a Ray id, which has 56; these differ."""
CLIENT = "ray://"
LOOK_S = 0.5
LEAVE_S = 6.0
"""How long keepers may take to exit; longer than they give their nodes."""
CLOSE_S = LEAVE_S + 3.0
CONNECT_S = 2.0
MAX_ATTEMPTS = 3
MAX_MISSED = 2
MAX_TEXT = 400


class Task(NamedTuple):
    """The driver's task."""

    address: str
    """``HOST:PORT`` of Ray's head, or ``ray://HOST:PORT`` of its client server."""
    nodes: int
    advertise: str
    """The controller's host, as the others see it; empty if this process must find out."""
    port: int
    """Where they join."""
    amoc: str
    """The command that runs amoc there; empty for the Python that runs Ray there."""
    secret: str


def tell(kind: str, text: str) -> None:
    """Send a message to the starter."""
    # Start with a line break: Ray's output may lack one.
    os.write(1, f"\n{MARK}{json.dumps([kind, text])}\n".encode())


def one_line(error: object) -> str:
    """Return the text of an error on one line."""
    text = " ".join(str(error).split())
    return text if len(text) <= MAX_TEXT else f"{text[:MAX_TEXT]}…"


def how_it_went(host: str, status: int, command: str, said: list[str], version: str) -> str:
    """Return how a keeper has ended, and what to do about it."""
    last = said[-1].removeprefix("amoc: ") if said else ""
    if "No module named" in last or status == NOT_FOUND:
        why = last.removeprefix(f"{command}: ").removeprefix("ModuleNotFoundError: ")
        return f"amoc cannot be started on {host} ({command}: {why}); install amoc {version} there"
    return f"amoc node on {host} {process.describe_exit(status)}{': ' if last else ''}{last}"


def reached(address: str) -> str:
    """Return this host's own address on the route to Ray's head at `address`.

    Raises:
        OSError: There is no answer.
    """
    host, _, port = address.removeprefix(CLIENT).rpartition(":")
    with socket.create_connection((host.strip("[]"), int(port)), CONNECT_S) as way:
        return str(way.getsockname()[0])


class HeadWatch(threading.Thread):
    """Reports that the head is lost or back. Ray itself only dies a minute later."""

    def __init__(self, address: str) -> None:
        super().__init__(daemon=True)
        self._address = address
        self.stopped = threading.Event()
        self.is_lost = False

    def run(self) -> None:
        """Check each second, until stopped."""
        missed = 0
        while not self.stopped.wait(1.0):
            try:
                reached(self._address)
            except OSError as error:
                missed += 1
                if missed == MAX_MISSED:
                    self.is_lost = True
                    tell(
                        SAY,
                        f"Ray's head at {self._address} is lost ({error.strerror or error}); the"
                        " run goes on as long as its nodes report",
                    )
            else:
                if self.is_lost:
                    tell(SAY, f"Ray's head at {self._address} is back")
                missed, self.is_lost = 0, False


_OfRay: TypeAlias = Any  # Any: Ray has no types


class Driver:
    """Has keepers started on the hosts of a Ray cluster."""

    def __init__(self, task: Task, version: str) -> None:
        """Create it; `version` is amoc's."""
        self._task = task
        self._version = version
        self._group: _OfRay = None
        self._actors: list[_OfRay] = []
        self._pending: dict[_OfRay, tuple[str, _OfRay]] = {}
        self._niceness: dict[_OfRay, str] = {}
        self._head = HeadWatch(task.address)
        self._leaving = threading.Event()
        self._over = threading.Event()
        self._is_connected = False

    def run(self) -> None:
        """Start keepers, and watch them until standard input closes."""
        threading.Thread(target=self._follow_stdin, daemon=True).start()
        try:
            self._connect()
            self._head.start()
            self._place()
            self._start()
            self._watch()
            self._leaving.wait()
            self._head.stopped.set()
        except Exception as error:  # any: Ray's and gRPC's errors have no common base class
            tell(TROUBLE, f"Ray at {self._task.address}: {one_line(error)}")
            self._leaving.wait()
        with suppress(Exception):
            self._clean_up()
        self._over.set()

    def _connect(self) -> None:
        """Wait for Ray's head, and log in."""
        address = self._task.address
        while not self._leaving.is_set():
            try:
                reached(address)
            except OSError as error:
                why = error.strerror or error
                tell(STATE, f"Ray's head at {address} cannot be reached: {why}")
                self._leaving.wait(LOOK_S)
            else:
                break
        outside = (
            ""
            if address.startswith(CLIENT)
            else ", as it should if this host belongs to its cluster; otherwise use ray://HOST:10001"
        )
        tell(STATE, f"Ray's head at {address} has not accepted the connection{outside}")
        import ray

        attempts = count(1)
        while not self._is_connected:
            try:
                ray.init(address, namespace="amoc", logging_level=logging.ERROR, log_to_driver=True)
                self._is_connected = True
            except ConnectionError:  # for example, a busy head that was too slow
                if not address.startswith(CLIENT) or next(attempts) == MAX_ATTEMPTS:
                    raise

    def _follow_stdin(self) -> None:
        """Exit when standard input closes, whatever Ray is doing."""
        while os.read(0, 4096):
            pass
        self._leaving.set()
        if self._is_connected:
            self._over.wait(CLOSE_S)
        os._exit(0)

    def _place(self) -> None:
        """Wait until there are enough hosts, and all their CPUs are reserved."""
        import ray
        from ray.util import placement_group, remove_placement_group

        asked: list[dict[str, float]] = []
        while not self._leaving.is_set():
            found = hosts.usable(ray.nodes())
            tell(STATE, hosts.state(found, self._task.nodes))
            bundles = hosts.bundles(found, self._task.nodes)
            if bundles != asked:
                if self._group is not None:
                    remove_placement_group(self._group)
                self._group = placement_group(bundles, "STRICT_SPREAD")
                asked = bundles
            if self._group.wait(LOOK_S) and len(found) >= self._task.nodes:
                return

    def _start(self) -> None:
        """Start a keeper on each host."""
        import ray
        from ray.util import placement_group_table
        from ray.util.scheduling_strategies import PlacementGroupSchedulingStrategy

        if self._leaving.is_set():
            return
        ray.cloudpickle.register_pickle_by_value(actor)
        remote = ray.remote(actor.AmocNode)
        names = {one["NodeID"]: one["NodeManagerAddress"] for one in ray.nodes()}
        placed = placement_group_table(self._group)["bundles_to_node_id"]
        advertise = self._task.advertise or self._own_address()
        for index, bundle in enumerate(self._group.bundle_specs):
            host = names[placed[index]]
            strategy = PlacementGroupSchedulingStrategy(self._group, index)
            one = remote.options(
                num_cpus=bundle["CPU"], scheduling_strategy=strategy, max_concurrency=2
            ).remote()
            address = f"tcp://{advertise}:{self._task.port}"
            options = ["node", "--controller", address, "--secret-file", "-", "--name", host]
            self._actors.append(one)
            self._niceness[one.niceness.remote()] = host
            call = one.run.remote(self._task.amoc, options, self._task.secret)
            self._pending[call] = host, one
            cpus, node = f"{bundle['CPU']:g} CPUs", placed[index][:ID_LENGTH]
            tell(NODE, f"{host} {node}")
            tell(SAY, f"amoc node is starting on {host} ({cpus}, Ray node {node})")
        started = ", ".join(host for host, _ in self._pending.values())
        tell(STATE, f"Ray has started amoc node on {started}, to join at tcp://{advertise}")

    def _own_address(self) -> str:
        """Return this host's address, as the hosts of the cluster see it."""
        import ray

        if self._task.address.startswith(CLIENT):
            address = reached(self._task.address)
        else:
            address = ray.util.get_node_ip_address()
        return f"[{address}]" if ":" in address else address

    def _watch(self) -> None:
        """Report how keepers end, until all have, or until this process must exit."""
        import ray

        while self._pending and not self._leaving.is_set():
            calls = [*self._pending, *self._niceness]
            done, _ = ray.wait(calls, timeout=LOOK_S)
            for call in done:
                if call in self._niceness:
                    self._check_niceness(self._niceness.pop(call), call)
                    continue
                host, _ = self._pending.pop(call)
                try:
                    status, command, said = ray.get(call)
                except ray.exceptions.RayError as error:
                    tell(TROUBLE, f"Ray has lost {host}: {one_line(error)}")
                else:
                    if status:
                        why = how_it_went(host, status, command, said, self._version)
                        tell(TROUBLE, why)

    def _check_niceness(self, host: str, call: _OfRay) -> None:
        """Warn about a host on which other processes take precedence."""
        import ray

        with suppress(ray.exceptions.RayError):  # the host is lost, which is reported elsewhere
            if niceness := ray.get(call):
                tell(
                    SAY,
                    f"amoc on {host} runs with niceness {niceness}, as Ray has started it, so other"
                    " processes take precedence; start Ray with RAY_worker_niceness=0",
                )

    def _clean_up(self) -> None:
        """Stop the keepers, and release their resources."""
        import ray
        from ray.util import remove_placement_group

        stops = [one.stop.remote(LEAVE_S) for _, one in self._pending.values()]
        if stops:
            ray.wait(stops, num_returns=len(stops), timeout=LEAVE_S)
        if self._head.is_lost:
            return  # no one is left to ask; should it come back, it will notice our exit
        for one in self._actors:
            ray.kill(one)
        if self._group is not None:
            remove_placement_group(self._group)
        ray.shutdown()


def main() -> None:
    """Carry out the task in the first line of standard input."""
    # Read when Ray is imported; they determine which output of hosts arrives here, and how.
    os.environ["RAY_DEDUP_LOGS"] = os.environ["RAY_COLOR_PREFIX"] = "0"
    from amoc import __version__

    process.set_title("ray driver")
    line = b""
    while not line.endswith(b"\n"):
        line += os.read(0, 1) or b"\n"
    if line.strip():
        Driver(Task(*json.loads(line)), __version__).run()
    sys.stdout.flush()
    os._exit(0)


if __name__ == "__main__":
    main()
