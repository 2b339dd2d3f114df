"""nginx for tests: a reverse proxy for another server's HTTP port, with and without TLS."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

from tests.servers.daemon import DEADLINE_S, Daemon, free_port, required

_CONFIG = """
daemon off;
{processes}
{user}
worker_processes 1;
pid {directory}/nginx.pid;
error_log {directory}/error.log;
events {{ worker_connections {connections}; }}
http {{
    client_body_temp_path {directory}/body;
    proxy_temp_path {directory}/proxy;
    fastcgi_temp_path {directory}/fastcgi;
    uwsgi_temp_path {directory}/uwsgi;
    scgi_temp_path {directory}/scgi;
{http}
}}
"""
ONE_PROCESS = "master_process off;"
"""So that no process is left when nginx is killed."""

_HTTP = """
    access_log off;
    server {{
        listen 127.0.0.1:{port};
        listen 127.0.0.1:{tls_port} ssl;
        ssl_certificate {directory}/tls.crt;
        ssl_certificate_key {directory}/tls.key;
        client_max_body_size 4m;
        location /elsewhere {{ return 302 https://elsewhere.example/ws; }}
        location / {{
            proxy_pass http://127.0.0.1:{upstream};
            proxy_http_version 1.1;
            proxy_set_header Upgrade $http_upgrade;
            proxy_set_header Connection $http_connection;
            proxy_set_header Host localhost;
            proxy_buffering off;
            proxy_read_timeout 120s;
        }}
    }}
"""


def command(
    directory: Path, http: str, connections: int = 1024, processes: str = ONE_PROCESS
) -> list[str]:
    """Write a configuration to `directory`; return the command that starts nginx with it.

    Args:
        directory: The directory of all its files.
        http: The contents of the block of that name.
        connections: The maximum number of connections.
        processes: Directives for its processes: how many there are, and their limits.
    """
    config = directory / "nginx.conf"
    user = "user root;" if os.geteuid() == 0 else ""
    config.write_text(
        _CONFIG.format(
            user=user, directory=directory, http=http, connections=connections, processes=processes
        )
    )
    return ["nginx", "-c", str(config), "-p", str(directory)]


class Nginx(Daemon):
    """A running nginx.

    Attributes:
        certificate: The file of its certificate, for 127.0.0.1.
        tls_port: The port for HTTPS.
    """

    def __init__(self, directory: Path, upstream: int) -> None:
        """Start it in `directory`, in front of the port `upstream`."""
        if not shutil.which("nginx"):
            required("nginx is not installed (apt install nginx-light)")
        self.certificate = directory / "tls.crt"
        self.tls_port = free_port()
        port = free_port()
        subprocess.run(
            [
                "openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt",
                "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2", "-subj", "/CN=127.0.0.1",
                "-addext", "subjectAltName=IP:127.0.0.1",
                "-keyout", str(directory / "tls.key"),
                "-out", str(self.certificate),
            ],
            check=True,
            capture_output=True,
            timeout=DEADLINE_S,
        )  # fmt: skip
        http = _HTTP.format(
            directory=directory, port=port, tls_port=self.tls_port, upstream=upstream
        )
        super().__init__(
            command(directory, http), port, directory / "output.log", {}, self.tls_port
        )
