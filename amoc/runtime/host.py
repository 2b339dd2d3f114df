"""The start of a node: reads its bootstrap, maps the board, forks the supervisor.

All of this happens before the process has a hub, a ZeroMQ context or a second thread, which a fork
would copy in use. `amoc.runtime.node.node` follows. If possible the node is a fork of the process
that starts the run, and shares the modules loaded there. Modules that only the node or only workers
need are loaded after the forks, in parallel with the controller's own.
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

from amoc.base import process, ticks
from amoc.base.errors import AmocError, ExitCode, PeerError, SettingError
from amoc.ipc import bus, pipe
from amoc.ipc.messages.lifecycle import Bootstrap, Failed
from amoc.ipc.messages.links import BOOTSTRAP, FROM_NODE, TO_NODE
from amoc.metrics.board import Board
from amoc.runtime import logs
from amoc.runtime.child import Started, can_fork, start_fork, start_module
from amoc.runtime.orphans import REAP_S, Orphans
from amoc.runtime.supervisor import supervisor
from amoc.scenario import builtin_settings, settings
from amoc.scenario.resolving import resolve
from amoc.scenario.scenario_files import name_of
from amoc.scenario.settings_sources import for_scenario


def own_workers(bootstrap: Bootstrap) -> int:
    """Return how many workers the board needs; the supervisor reports an invalid setting."""
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
    """Run the node whose bootstrap arrives on standard input.

    Args:
        directory: The controller's socket directory: if the controller dies before it has sent
            anything, only the node is left to remove it.
    """
    code = int(ExitCode.OK)
    process.reset_signals()
    parent_pid = process.watch_parent()
    process.set_title("node")
    for stream in (sys.stdout, sys.stderr):
        # Whole lines, or those of several workers would mix; even if PYTHONUNBUFFERED is set.
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
    # Keep loaded objects shared: the collector would write to many of their pages.
    gc.collect()
    gc.freeze()
    pid = os.fork()
    if pid == 0:
        ours.close()
        os.close(reading)
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)  # the lifeline belongs to the node alone
        os.dup2(writing, 1)
        os.dup2(writing, 2)
        os.close(writing)
        from amoc.runtime.worker import worker

        supervisor.main(bootstrap, board, directory, theirs.detach(), node_pid, worker.main)
    theirs.close()
    os.close(writing)
    from amoc.runtime.node.node import Node

    orphans = Orphans()
    node = Node(bootstrap, board, pid, ours.detach(), reading, directory, parent_pid)
    reaper = gevent.spawn(ticks.forever, REAP_S, orphans.reap)
    try:
        node.run()
    finally:
        reaper.kill()
        for one in orphans.end():
            print(f"amoc: node: {one} was started by a user and cannot be killed", file=sys.stderr)
    if node.alone and os.getpgrp() == node_pid:
        os.killpg(0, signal.SIGKILL)  # end whatever the scenario has started


def _refuse(bootstrap: Bootstrap, error: AmocError) -> None:
    """Tell the controller why this node cannot start."""
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
