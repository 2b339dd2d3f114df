"""How a node begins: its bootstrap is read, the board mapped, the supervisor forked.

All of this happens before there is a hub, a ZeroMQ context or a second thread in the process, for a
fork would copy them alive. What comes after is `amoc.runtime.node.node`. The node itself is a fork
of the process that starts the run, where that may fork: it shares what is loaded there. What only
the node needs is loaded after the fork, and so is what only workers need, so that both are loaded
while the controller loads its own.
"""

from __future__ import annotations

import gc
import os
import shutil
import signal
import socket
import sys
import traceback
from pathlib import Path
from typing import NoReturn

import gevent
import zmq

from amoc.base import process
from amoc.base.errors import AmocError, ExitCode, PeerError, SettingError
from amoc.ipc import bus, pipe
from amoc.ipc.messages.lifecycle import Bootstrap, Failed
from amoc.ipc.messages.links import BOOTSTRAP, FROM_NODE, TO_NODE
from amoc.metrics.board import Board
from amoc.runtime import logs
from amoc.runtime.child import Started, can_fork, start_fork, start_module
from amoc.runtime.orphans import Orphans
from amoc.runtime.supervisor import supervisor
from amoc.scenario import builtin_settings, settings
from amoc.scenario.resolving import resolve
from amoc.scenario.scenario_files import name_of
from amoc.scenario.settings_sources import for_scenario


def own_workers(bootstrap: Bootstrap) -> int:
    """How many workers the board needs; the supervisor will complain about a wrong setting."""
    sources = [settings.Source(*source)._replace(strict=False) for source in bootstrap.sources]
    mine = [one for one in settings.declared() if one is builtin_settings.workers]
    try:
        chosen = for_scenario(sources, name_of(bootstrap.scenario), mine)
        return int(resolve(mine, chosen)["workers"].value)
    except SettingError:
        return 1


def start(directory: str) -> Started:
    """Start a node for the controller whose sockets will be in `directory`."""
    if can_fork():
        return start_fork(lambda: main(directory))
    return start_module(__name__, [directory])


def main(directory: str) -> NoReturn:
    """Be the node whose bootstrap comes on standard input.

    Args:
        directory: That of the controller's sockets: when the controller dies before it has said
            anything, nobody else is left to remove it.
    """
    code = int(ExitCode.OK)
    process.reset_signals()
    parent_pid = process.watch_parent()
    process.set_title("node")
    for stream in (sys.stdout, sys.stderr):
        # Whole lines, or those of several workers would mix; also where PYTHONUNBUFFERED is set.
        stream.reconfigure(line_buffering=True, write_through=False)  # type: ignore[union-attr]
    try:
        try:
            bootstrap = pipe.read_one(0, BOOTSTRAP)
        except PeerError:
            shutil.rmtree(directory, ignore_errors=True)
            raise
        logs.begin(f"node{bootstrap.node}", bootstrap.log_level)
        _run(bootstrap, parent_pid)
    except AmocError as error:
        print(f"amoc: node: {error}", file=sys.stderr)
        code = int(error.exit_code)
    except BaseException:
        traceback.print_exc()
        code = int(ExitCode.INTERNAL)
    finally:
        logs.end()
        process.leave(code)


def _run(bootstrap: Bootstrap, parent_pid: int) -> None:
    directory = f"{bootstrap.endpoint}/node{bootstrap.node}"
    Path(directory).mkdir(0o700)
    try:
        board = Board(own_workers(bootstrap), bootstrap.highest_id)
    except AmocError as error:
        _refuse(bootstrap, error)
        return
    ours, theirs = socket.socketpair()
    reading, writing = os.pipe()
    node_pid = os.getpid()
    # What is loaded stays shared: the collector would write to each object, here and there.
    gc.collect()
    gc.freeze()
    pid = os.fork()
    if pid == 0:
        ours.close()
        os.close(reading)
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)  # the lifeline is the node's alone
        os.dup2(writing, 1)
        os.dup2(writing, 2)
        os.close(writing)
        from amoc.runtime.worker import worker

        supervisor.main(bootstrap, board, directory, theirs.detach(), node_pid, worker.main)
    theirs.close()
    os.close(writing)
    from amoc.runtime.node.node import Ends, Node

    orphans = Orphans()
    node = Node(bootstrap, board, pid, Ends(ours.detach(), reading), directory, parent_pid)
    reaper = gevent.spawn(orphans.reap_forever)
    try:
        node.run()
    finally:
        reaper.kill()
        for one in orphans.end():
            print(f"amoc: node: {one} was started by a user and cannot be killed", file=sys.stderr)
    if node.alone and os.getpgrp() == node_pid:
        os.killpg(0, signal.SIGKILL)  # whatever the scenario has started goes with us


def _refuse(bootstrap: Bootstrap, error: AmocError) -> None:
    """Tell the controller why there will be no node."""
    from amoc.runtime.node.node import JOIN_S, controller_of

    context = zmq.Context()
    name = f"node{bootstrap.node}"
    with bus.Child(context, controller_of(bootstrap), name, TO_NODE, FROM_NODE) as controller:
        controller.join(JOIN_S)
        controller.report(Failed(int(error.exit_code), str(error)))
        controller.flush(2.0)
    context.destroy(linger=bus.LINGER_MS)


if __name__ == "__main__":
    main(sys.argv[1])
