"""httpbin for tests: it responds with the request itself, or in any way that is asked for.

Before Python 3.12 it is incompatible with current versions of greenlet, so it may be installed for
another interpreter, which AMOC_HTTPBIN names.
"""

from __future__ import annotations

import importlib.util
import os
import sys
from pathlib import Path

from tests.servers.daemon import Daemon, free_port, required

_SERVE = """
import sys
from httpbin import app
from werkzeug.serving import WSGIRequestHandler, run_simple
WSGIRequestHandler.protocol_version = "HTTP/1.1"
def with_chunks(environ, start):  # httpbin accepts them from gunicorn only
    environ["SERVER_SOFTWARE"] = "gunicorn/1"
    return app(environ, start)
run_simple("127.0.0.1", int(sys.argv[1]), with_chunks, threaded=True)
"""


class HttpBin(Daemon):
    """A running httpbin."""

    def __init__(self, directory: Path) -> None:
        """Start it; its output goes to `directory`."""
        python = os.environ.get("AMOC_HTTPBIN", "")
        if not python and importlib.util.find_spec("httpbin") is None:
            required("httpbin is not installed (AMOC_HTTPBIN may name a Python that has it)")
        port = free_port()
        command = [python or sys.executable, "-W", "ignore", "-c", _SERVE, str(port)]
        super().__init__(command, port, directory / "httpbin.log", {})
        self.url = f"http://127.0.0.1:{port}"
