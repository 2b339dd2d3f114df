"""nginx for tests: a reverse proxy in front of another server's HTTP port, plain and with TLS."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

from tests.servers.daemon import DEADLINE_S, Daemon, free_port, required

_CONFIG = """
daemon off;
# One process, so that none is left when it is killed.
master_process off;
{user}
worker_processes 1;
pid {directory}/nginx.pid;
error_log {directory}/error.log;
events {{ worker_connections 512; }}
http {{
    access_log off;
    client_body_temp_path {directory}/body;
    proxy_temp_path {directory}/proxy;
    fastcgi_temp_path {directory}/fastcgi;
    uwsgi_temp_path {directory}/uwsgi;
    scgi_temp_path {directory}/scgi;
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
}}
"""


class Nginx(Daemon):
    """A running nginx.

    Attributes:
        certificate: The file with its certificate, for 127.0.0.1.
        tls_port: Where it speaks HTTPS.
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
        config = directory / "nginx.conf"
        config.write_text(
            _CONFIG.format(
                user="user root;" if os.geteuid() == 0 else "",
                directory=directory,
                port=port,
                tls_port=self.tls_port,
                upstream=upstream,
            )
        )
        command = ["nginx", "-c", str(config), "-p", str(directory)]
        super().__init__(command, port, directory / "output.log", {}, self.tls_port)
