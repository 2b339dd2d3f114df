"""nginx for `benchmarks.http`: one worker, short answers, and a count of its answers."""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from benchmarks import outcome
from tests.certificates import Authority
from tests.servers.daemon import dies_with_us, free_ports
from tests.servers.nginx import command

_HTTP = """
    access_log off;
    keepalive_requests 100000000;
    default_type text/plain;
    server {{
        listen 127.0.0.1:{port} backlog=4096;
        listen 127.0.0.1:{tls_port} ssl backlog=4096;
        ssl_certificate {certificate};
        ssl_certificate_key {certificate};
        location /item/ {{ return 200 "item $uri abcdefghijklmnopqrstuvwxyz"; }}
        location /count {{ stub_status; }}
    }}
"""
START_S = 10.0


class Web(NamedTuple):
    """A running nginx."""

    url: str
    tls_url: str
    ca: str

    def answered(self) -> int:
        """Return how many requests it has answered, including this one."""
        with urllib.request.urlopen(f"{self.url}/count", timeout=START_S) as answer:
            return int(answer.read().split(b"\n")[2].split()[2])


@contextmanager
def nginx() -> Iterator[Web]:
    """Run nginx during the block; end the program if it is not installed."""
    if not shutil.which("nginx"):
        outcome.failed("nginx is not installed (apt install nginx-light)")
        sys.exit(outcome.Exit.FAILED)
    with tempfile.TemporaryDirectory(prefix="amoc-benchmark-") as name:
        directory = Path(name)
        authority = Authority(directory)
        port, tls_port = free_ports(2)
        http = _HTTP.format(
            port=port,
            tls_port=tls_port,
            certificate=authority.issue("web.pem", ["localhost", "127.0.0.1"]),
        )
        # With a separate worker process: only for such does nginx raise the limit on files.
        start = command(directory, http, 8192, "worker_rlimit_nofile 16384;")
        with subprocess.Popen([*dies_with_us(), *start], stderr=subprocess.DEVNULL) as process:
            web = Web(f"http://127.0.0.1:{port}", f"https://127.0.0.1:{tls_port}", authority.ca)
            try:
                _wait_for(web)
                yield web
            finally:
                process.terminate()


def _wait_for(web: Web) -> None:
    give_up = time.monotonic() + START_S
    while True:
        try:
            web.answered()
        except OSError:
            if time.monotonic() > give_up:
                raise
            time.sleep(0.02)
        else:
            return
