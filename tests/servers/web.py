"""Web servers for HTTP tests: nginx with all kinds of responses, and a small application."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

from tests.servers import nginx
from tests.servers.daemon import Daemon, free_port, free_ports, required

_HTTP = """
    access_log {directory}/access.log;
    default_type text/plain;
    keepalive_requests 100000;
    server {{
        listen 127.0.0.1:{port} backlog=1024;
        listen 127.0.0.1:{tls_port} ssl backlog=1024;
        listen [::1]:{port};
        ssl_certificate {certificate};
        ssl_certificate_key {certificate};
        ssl_session_cache shared:s:1m;
        client_max_body_size 1m;
        root {directory}/files;
        location /item/ {{ return 200 "item $uri from $remote_addr"; }}
        location /port {{ return 200 "$remote_port"; }}
        location /hello {{ return 200 "hello $ssl_protocol $ssl_session_reused $host"; }}
        location /away {{ return 302 /hello; }}
        location /down {{ return 503 "down"; }}
        location /upload {{ proxy_pass http://127.0.0.1:{port}/sink; }}
        location /sink {{ return 200 "taken"; }}
        location /files/ {{ alias {directory}/files/; gzip on; gzip_types *; gzip_min_length 1; }}
    }}
"""


class Web(Daemon):
    """A running nginx.

    Attributes:
        url, tls_url: Its base URLs for HTTP and HTTPS.
        files: The directory that it serves under ``/files/``.
    """

    def __init__(self, directory: Path, certificate: str) -> None:
        """Start it in `directory`."""
        if not shutil.which("nginx"):
            required("nginx is not installed (apt install nginx-light)")
        self.files = directory / "files"
        self.files.mkdir()
        port, tls_port = free_ports(2)
        http = _HTTP.format(
            directory=directory, port=port, tls_port=tls_port, certificate=certificate
        )
        super().__init__(
            nginx.command(directory, http), port, directory / "output.log", {}, tls_port
        )
        self.url, self.tls_url = f"http://127.0.0.1:{port}", f"https://127.0.0.1:{tls_port}"


class Application(Daemon):
    """`tests.servers.application`, running."""

    def __init__(self, directory: Path) -> None:
        """Start it; its output goes to `directory`."""
        port = free_port()
        program = str(Path(__file__).with_name("application.py"))
        command = [sys.executable, program, str(port)]
        super().__init__(command, port, directory / "application.log", {})
        self.url = f"http://127.0.0.1:{port}"


class Greeter(Daemon):
    """`tests.servers.greeter`, running: a gRPC server."""

    def __init__(self, directory: Path) -> None:
        """Start it; its output goes to `directory`."""
        port = free_port()
        program = str(Path(__file__).with_name("greeter.py"))
        super().__init__([sys.executable, program, str(port)], port, directory / "greeter.log", {})


class GrpcFront(Daemon):
    """nginx as a proxy for a gRPC server."""

    def __init__(self, directory: Path, upstream: int) -> None:
        """Start it in `directory`, in front of the port `upstream`."""
        if not shutil.which("nginx"):
            required("nginx is not installed (apt install nginx-light)")
        port = free_port()
        http = f"""
    access_log off;
    server {{
        listen 127.0.0.1:{port} http2;
        location / {{ grpc_pass grpc://127.0.0.1:{upstream}; }}
    }}
"""
        super().__init__(nginx.command(directory, http), port, directory / "front.log", {})
