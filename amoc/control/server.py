"""The control socket: commands for a run and their answers, one JSON object per line.

A request is ``{"command": "add", "arguments": {"count": 5}, "comment": "more"}``; the answer is
``{"ok": true, "answer": {…}}`` or ``{"ok": false, "error": "one line", "exit_code": 2}``. A
connection may carry several requests, one after the other. Whatever a client sends or fails to
read affects only its own connection, never the run: lines, connections and waits are limited.
"""

from __future__ import annotations

import contextlib
import json
import os
import socket
import traceback
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Self

import gevent
from gevent import socket as gsocket
from gevent.pool import Pool

from amoc.base.errors import AmocError, ExitCode, PeerError, ResourceError, UsageError
from amoc.base.json_plain import plain
from amoc.base.text import cut
from amoc.base.unix_socket import reachable
from amoc.control import commands
from amoc.control.answers import Answer

MAX_CONNECTIONS = 32
MAX_LINE = 1 << 20
"""Maximum size of a request in bytes."""
READ_S = 60.0
"""How long a connection may be idle, or take to send one line."""
WRITE_S = 10.0
LEAVE_S = 2.0
"""How long commands in progress may take to be answered at the end."""
ACCEPT_PAUSE_S = 0.1


class ControlServer:
    """Accepts commands on a Unix socket that only its owner can use.

    Attributes:
        refused: Connections rejected because there were too many.
    """

    def __init__(
        self,
        path: Path,
        operate: Callable[[commands.Command, str], Answer],
        on_defect: Callable[[str], object] = lambda _: None,
    ) -> None:
        """Serve on `path` once started.

        Args:
            path: Where to create the socket; nothing may exist there.
            operate: Carries out a command from a source.
            on_defect: Called with the traceback of internal errors.
        """
        self.refused = 0
        self._path = path
        self._operate = operate
        self._on_defect = on_defect
        self._listener: gsocket.socket | None = None
        self._accepting: gevent.Greenlet[[gsocket.socket], None] | None = None
        self._serving = Pool(MAX_CONNECTIONS)
        self._busy: set[object] = set()

    @property
    def connections(self) -> int:
        """The number of open connections."""
        return len(self._serving)

    def start(self) -> None:
        """Start to accept commands.

        Raises:
            ResourceError: The socket cannot be created.
        """
        listener = gsocket.socket(socket.AF_UNIX)
        made = self._path.with_name(f"{self._path.name}.new")
        try:
            with reachable(made) as address:
                listener.bind(address)
            made.chmod(0o600)
            listener.listen(MAX_CONNECTIONS)
            # Renamed only now: a socket on which no process listens means a dead run.
            self._path.hardlink_to(made)
        except OSError as error:
            listener.close()
            why = error.strerror or str(error)
            raise ResourceError(f"control socket {self._path} cannot be created: {why}") from None
        finally:
            made.unlink(missing_ok=True)
        self._listener = listener
        self._accepting = gevent.spawn(self._accept, listener)

    def stop(self) -> None:
        """Stop accepting commands; those in progress are answered, within limits."""
        if self._listener is None:
            return
        if self._accepting is not None:
            self._accepting.kill()
        with contextlib.suppress(OSError):
            os.unlink(self._path)  # noqa: PTH108 - the name that was bound, not its target
        self._listener.close()
        # Idle connections are closed; those waiting for an answer get it, within limits.
        idle = [one for one in self._serving if one not in self._busy]
        gevent.killall(idle, timeout=LEAVE_S)
        self._serving.join(timeout=LEAVE_S)
        self._serving.kill(timeout=LEAVE_S)
        self._listener = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, kind: object, error: object, trace: object) -> None:
        self.stop()

    def _accept(self, listener: gsocket.socket) -> None:
        while True:
            try:
                line, _ = listener.accept()
            except OSError:  # out of file descriptors; the run must go on, so try again later
                gevent.sleep(ACCEPT_PAUSE_S)
                continue
            if self._serving.free_count() > 0:
                # Close the socket even if the greenlet is killed before it starts.
                self._serving.spawn(self._serve, line).rawlink(partial(_close, line))
                continue
            self.refused += 1
            text = f"the run takes at most {MAX_CONNECTIONS} connections at once; try again later"
            with contextlib.suppress(OSError):
                line.setblocking(False)
                line.send(_encoded(_refusal(PeerError(text))))
            line.close()

    def _serve(self, line: gsocket.socket) -> None:
        with line, contextlib.suppress(OSError, gevent.Timeout):
            rest = b""
            while True:
                with gevent.Timeout(READ_S):
                    request, rest = _read_line(line, rest)
                if request is None:
                    return
                me = gevent.getcurrent()
                self._busy.add(me)
                try:
                    answer = self._answer(request)
                    with gevent.Timeout(WRITE_S):
                        line.sendall(_encoded(answer))
                finally:
                    self._busy.discard(me)
                if self._listener is None or len(request) > MAX_LINE:
                    return

    def _answer(self, request: bytes) -> dict[str, object]:
        try:
            command = _command_of(request)
            answer = self._operate(command, "socket")
            return {"ok": True, "answer": plain(answer.to_json())}
        except AmocError as error:
            return _refusal(error)
        except Exception:
            self._on_defect(traceback.format_exc())
            return _refusal(
                AmocError("internal error of amoc; see the run's output for the traceback")
            )


def _close(line: gsocket.socket, _task: object) -> None:
    line.close()


def _read_line(line: gsocket.socket, rest: bytes) -> tuple[bytes | None, bytes]:
    """Return the next line, and what was read beyond it.

    Returns:
        None as the line at the end of the connection; the beginning of a line that is too long.
    """
    while b"\n" not in rest and len(rest) <= MAX_LINE:
        data = line.recv(65536)
        if not data:
            return None, b""
        rest += data
    request, _, rest = rest.partition(b"\n")
    return request, rest


def _command_of(request: bytes) -> commands.Command:
    if len(request) > MAX_LINE:
        raise UsageError(f"a request must have at most {MAX_LINE} bytes, got more")
    try:
        data = json.loads(request)
    except (ValueError, RecursionError):
        data = None
    if not isinstance(data, dict):
        text = request[:60].decode(errors="replace")
        raise UsageError(f"a request must be a JSON object in one line, got {text!r}")
    extra = data.keys() - {"command", "arguments", "comment"}
    if extra:
        raise UsageError(
            f"a request takes only command, arguments and comment, got {cut(min(extra))}"
        )
    return commands.checked(data.get("command"), data.get("arguments", {}), data.get("comment", ""))


def _refusal(error: AmocError) -> dict[str, object]:
    return {"ok": False, "error": str(error), "exit_code": int(ExitCode(error.exit_code))}


def _encoded(answer: Mapping[str, object]) -> bytes:
    return json.dumps(answer, allow_nan=False).encode() + b"\n"
