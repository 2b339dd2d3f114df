"""ejabberd for tests: one Erlang process on loopback, with its configuration in a directory.

Debian's ejabberdctl requires root and a node name of the host; plain Erlang needs neither.
"""

from __future__ import annotations

import json
import shutil
from contextlib import closing
from http.client import HTTPConnection
from pathlib import Path

from tests.servers.certificates import ServerCertificates
from tests.servers.daemon import DEADLINE_S, XmppServer, free_ports, required

# Where Debian keeps Erlang's libraries for each architecture.
_LIBRARIES = Path("/usr/lib")
# Next to other busy processes Erlang's threads, which by default spin before they sleep, take the
# little CPU time that there is from each other: a start then takes a minute and a half.
_NO_BUSY_WAIT = ("+sbwt", "none", "+sbwtdcpu", "none", "+sbwtdio", "none")
_CONFIG = """
hosts: ["{domain}", "{anonymous}"{tls_hosts}]
loglevel: warning
listen:
  - {{ip: "127.0.0.1", port: {api}, module: ejabberd_http,
      request_handlers: {{/api: mod_http_api, /ws: ejabberd_http_ws, /bosh: mod_bosh{handlers}}}}}
  - {{ip: "127.0.0.1", port: {components}, module: ejabberd_service,
      hosts: {{"{component}": {{password: "{component_secret}"}}}}}}
  - {{ip: "127.0.0.1", port: {port}, module: ejabberd_c2s, backlog: 4096,
      max_stanza_size: 262144{starttls}}}{listeners}
{certfiles}auth_method: internal
auth_password_format: plain
host_config: {{"{anonymous}": {{auth_method: anonymous, anonymous_protocol: sasl_anon}}}}
registration_timeout: infinity
access_rules: {{register: {{allow: all}}}}
api_permissions: {{accounts: {{who: {{ip: 127.0.0.1/32}}, what: register}}}}
modules: {{mod_roster: {{}}, mod_disco: {{}}, mod_ping: {{}}, mod_http_api: {{}}, mod_bosh: {{}},
  mod_stream_mgmt: {{resume_timeout: {resume_s}}},
  mod_register: {{ip_access: all, access: register}}{modules}}}
"""
_HANDLERS = ", /upload: mod_http_upload"
_MODULES = """,
  mod_muc: {{host: "conference.@HOST@", default_room_options: {{mam: true}}}},
  mod_mam: {{default: always, assume_mam_usage: true}}, mod_caps: {{}},
  mod_pubsub: {{plugins: [flat, pep], access_createnode: all, ignore_pep_from_offline: false}},
  mod_http_upload: {{access: all, put_url: "http://@HOST@:{api}/upload",
                     docroot: "{directory}/upload"}},
  mod_blocking: {{}}, mod_privacy: {{}}, mod_carboncopy: {{}}, mod_client_state: {{}},
  mod_vcard: {{}}, mod_vcard_xupdate: {{}}, mod_avatar: {{}}, mod_private: {{}}, mod_offline: {{}}
"""


_DIRECT = """
  - {{ip: "127.0.0.1", port: {port}, module: ejabberd_c2s, backlog: 4096,
      tls: true, protocol_options: [no_tlsv1_3]}}"""


def _certfiles(certificates: ServerCertificates) -> str:
    # ejabberd finds a host's certificate by name; a host without one gets that of another.
    return (
        f"certfiles: ['{certificates.valid}', '{certificates.expired}']\n"
        f"ca_file: '{certificates.ca}'\nc2s_cafile: '{certificates.ca}'\n"
    )


class Ejabberd(XmppServer):
    """A running ejabberd."""

    death_signal = "KILL"  # Erlang ignores a TERM while ejabberd starts
    websocket_path = "/ws"
    bosh_path = "/bosh"

    @staticmethod
    def available() -> None:
        """Skip the calling test if ejabberd is not installed, or fail it if it is required."""
        if not shutil.which("erl") or not any(_LIBRARIES.glob("*/ejabberd-*/ebin/ejabberd.app")):
            required("ejabberd is not installed (apt install ejabberd)")

    def __init__(
        self,
        directory: Path,
        accounts: int = 0,
        services: bool = False,
        certificates: ServerCertificates | None = None,
        resume_s: int = 300,
    ) -> None:
        """Start it in `directory`, with accounts ``user_1`` / ``password_1`` up to `accounts`.

        With `services` it has rooms, archives, nodes and so on, which change what becomes of
        messages. With `certificates` it speaks TLS.
        """
        self.accounts = accounts
        port, api, self.component_port, self.direct_tls_port = free_ports(4)
        self.http_port = api
        config = directory / "ejabberd.yml"
        config.write_text(
            _CONFIG.format(
                port=port,
                tls_hosts=', "expired.localhost", "misnamed.localhost"' if certificates else "",
                starttls=", starttls: true, tls_verify: true" if certificates else "",
                listeners=_DIRECT.format(port=self.direct_tls_port) if certificates else "",
                certfiles=_certfiles(certificates) if certificates else "",
                api=api,
                components=self.component_port,
                resume_s=resume_s,
                handlers=_HANDLERS if services else "",
                modules=_MODULES.format(api=api, directory=directory) if services else "",
                domain=self.domain,
                anonymous=self.anonymous,
                component=self.component,
                component_secret=self.component_secret,
            )
        )
        application = next(_LIBRARIES.glob("*/ejabberd-*/ebin/ejabberd.app"))
        super().__init__(
            [
                *("erl", "+K", "true", *_NO_BUSY_WAIT, "-noshell", "-noinput"),
                *("-mnesia", "dir", f'"{directory}/database"', "-s", "ejabberd"),
            ],
            port,
            directory / "output.log",
            {
                "ERL_LIBS": str(application.parents[2]),
                "EJABBERD_CONFIG_PATH": str(config),
                "EJABBERD_LOG_PATH": str(directory / "ejabberd.log"),
                "HOME": str(directory),
            },
            api,
            self.component_port,
        )
        with closing(HTTPConnection("127.0.0.1", api, timeout=DEADLINE_S)) as connection:
            for number in range(1, accounts + 1):
                account = {"user": f"user_{number}", "password": f"password_{number}"}
                connection.request(
                    "POST", "/api/register", json.dumps({**account, "host": self.domain})
                )
                answer = connection.getresponse()
                said = answer.read()
                assert answer.status == 200, said
