"""Settings of the XMPP client, and the checks of their values."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from amoc.base import tls_context
from amoc.base.text import names_in
from amoc.scenario.bounds import at_least, between
from amoc.scenario.builtin_settings import Seconds
from amoc.scenario.settings import setting
from amoc.xmpp.connection.server_url import parse_servers
from amoc.xmpp.wire.bosh import MAX_REQUESTS, MAX_WAIT_S
from amoc.xmpp.wire.mechanisms import MAX_SCRAM_ITERATIONS, MECHANISMS, PASSWORD_MECHANISMS

AUTO: Final = "auto"
STARTTLS: Final = "starttls"
DIRECT: Final = "direct"
OFF: Final = "off"
TLS_MODES: Final = (AUTO, STARTTLS, DIRECT, OFF)


def _check_servers(text: str) -> None:
    parse_servers(text)


def _check_mechanisms(text: str) -> None:
    wrong = [one for one in names_in(text) if one not in MECHANISMS]
    if wrong or not names_in(text):
        raise ValueError(f"must be a comma-separated list of {', '.join(MECHANISMS)}")


def _check_pattern(text: str) -> None:
    if not text:
        raise ValueError("must not be empty; {id} in it stands for the user's number")


def _check_pem(marker: str) -> Callable[[str], None]:
    def check(text: str) -> None:
        if text and "{id}" not in text:
            tls_context.check_pem(text, marker)

    return check


def _check_domains(text: str) -> None:
    _check_pattern(text)
    if not names_in(text):
        raise ValueError(f"must name at least one domain, got {text!r}")


UNMANAGED: Final = "off"
RESUMABLE: Final = "resume"

xmpp_servers = setting(
    "",
    "XMPP servers to connect to, as host:port, xmpps://host:port (direct TLS), ws:// or"
    " wss://host:port/path (WebSocket), http:// or https://host:port/path (BOSH), comma-separated;"
    " users are spread over them by number; empty: amoc runs an embedded server",
    verify=_check_servers,
)
xmpp_transport = setting(
    "tcp",
    "Transport to the embedded server, tcp or websocket; addresses of other servers name theirs",
    verify=["tcp", "websocket"],
)
xmpp_domain = setting(
    "localhost",
    "XMPP domain of the users; several, comma-separated, are assigned to users by number",
    verify=_check_domains,
)
xmpp_username = setting(
    "user_{id}", "Local part of a user's JID; {id} is its number", verify=_check_pattern
)
xmpp_password = setting(
    "password_{id}", "A user's password; {id} is its number", verify=_check_pattern
)
xmpp_resource = setting("amoc", "Resource that users request; empty: the server chooses one")
xmpp_mechanisms = setting(
    ",".join(PASSWORD_MECHANISMS),
    "SASL mechanisms in order of preference; PLAIN alone saves CPU per login",
    verify=_check_mechanisms,
)
xmpp_scram_max_iterations = setting(
    MAX_SCRAM_ITERATIONS,
    "Maximum SCRAM iterations that a server may request; each 1000 cost 0.4 ms of CPU per login",
    verify=at_least(1),
)
xmpp_register = setting(False, "Register each user with the server before it logs in (XEP-0077)")
xmpp_connect_timeout = setting(
    30.0,
    "Time limit of each attempt to connect and log in, in total",
    type=Seconds,
    verify=at_least(0.001),
)
xmpp_connect_attempts = setting(
    3, "Attempts to connect and log in before a user gives up", verify=at_least(1)
)
xmpp_connect_pause = setting(
    1.0,
    "Mean pause before the second attempt; it doubles before each further one, up to a minute",
    type=Seconds,
    verify=at_least(0),
)
xmpp_max_redirects = setting(
    3, "Maximum redirects in a row that a user follows (see-other-host)", verify=at_least(0)
)
xmpp_stream_management = setting(
    UNMANAGED,
    "Stream management (XEP-0198): off, acks (sent stanzas are counted and acknowledged), or resume"
    " (a lost session can also be resumed)",
    verify=[UNMANAGED, "acks", RESUMABLE],
)
xmpp_ack_every = setting(
    10,
    "With stream management, stanzas sent before the server is asked for an acknowledgement",
    verify=at_least(1),
)
xmpp_ack_interval = setting(
    5.0,
    "With stream management, maximum time between sending a stanza and asking the server to"
    " acknowledge it",
    type=Seconds,
    verify=at_least(0.001),
)
xmpp_max_unacknowledged = setting(
    1000,
    "With stream management, number of unacknowledged stanzas at which senders wait",
    verify=at_least(1),
)
xmpp_reconnect_pause = setting(
    1.0,
    "Mean pause before staying_connected reconnects; it doubles with each failure",
    type=Seconds,
    verify=at_least(0),
)
xmpp_reconnect_max_pause = setting(
    60.0, "Maximum mean pause before a user reconnects", type=Seconds, verify=at_least(0)
)
xmpp_reconnect_throttle = setting(
    "", "Throttle that staying_connected passes before each attempt to connect; empty: none"
)
xmpp_request_timeout = setting(
    30.0,
    "Time limit for the answer to an iq, and for a server that has stopped reading",
    type=Seconds,
    verify=at_least(0.001),
)
xmpp_close_timeout = setting(
    5.0,
    "How long a user that has closed its stream waits for the server to close its half",
    type=Seconds,
    verify=at_least(0),
)
xmpp_late_after = setting(
    2.0,
    "A message that takes longer is late; one that has not arrived by the end is lost if its"
    " recipient stayed online for this long after it was sent",
    type=Seconds,
    verify=at_least(0),
)
xmpp_inbox_size = setting(
    100,
    "Received stanzas kept until the user reads them; when full, the oldest are dropped",
    verify=at_least(0),
)
xmpp_max_stanza_bytes = setting(
    1 << 20,
    "Maximum size of a stanza from a server; a longer one ends the user's stream",
    verify=at_least(1000),
)
xmpp_bosh_wait = setting(
    60,
    "BOSH: maximum seconds that the server may hold a request while it has nothing to send",
    verify=between(1, MAX_WAIT_S),
)
xmpp_bosh_hold = setting(
    1,
    "BOSH: requests that the server may hold at once; 0: it answers at once, and is polled once a"
    " second",
    verify=between(0, MAX_REQUESTS - 1),
)
xmpp_bosh_requests = setting(
    2,
    "BOSH: concurrent requests, each over its own connection; one more than xmpp_bosh_hold",
    verify=between(1, MAX_REQUESTS),
)
xmpp_source_addresses = setting(
    "",
    "Local addresses to connect from, comma-separated, used in rotation; each allows some 28,000"
    " more connections to one server",
)
xmpp_muc_service = setting(
    "conference.{domain}",
    "Domain of rooms that are given by name; {domain} is the user's domain",
    verify=_check_pattern,
)
xmpp_muc_light_service = setting(
    "muclight.{domain}",
    "Domain of MongooseIM's light rooms that are given by name; {domain} is the user's domain",
    verify=_check_pattern,
)
xmpp_upload_service = setting(
    "upload.{domain}",
    "Domain of the service that users upload files to; {domain} is the user's domain",
    verify=_check_pattern,
)
xmpp_tls = setting(
    "auto",
    "TLS over TCP: auto (STARTTLS when the server offers it), starttls (no login without it),"
    " direct (from the first byte) or off",
    verify=TLS_MODES,
)
xmpp_tls_verify = setting(True, "Whether a server's certificate must be valid and match its name")
xmpp_tls_ca = setting(
    "",
    "PEM file or directory of trusted certificate authorities; empty: the system's",
    verify=tls_context.check_trust,
)
xmpp_tls_name = setting(
    "",
    "Name to send (SNI) and to require in the server's certificate; empty: the domain, or the host"
    " of a wss:// or https:// address",
)
xmpp_tls_certificate = setting(
    "",
    "PEM file of a user's certificate, for SASL EXTERNAL; {id} is its number",
    verify=_check_pem("CERTIFICATE"),
)
xmpp_tls_key = setting(
    "",
    "PEM file of the certificate's private key; empty: it is in the certificate's file; {id} is the"
    " user's number",
    verify=_check_pem("PRIVATE KEY"),
)
xmpp_tls_minimum_version = setting(
    "1.2", "Minimum version of TLS", verify=tuple(tls_context.VERSIONS)
)
xmpp_tls_ciphers = setting(
    "",
    "Ciphers for TLS up to 1.2 as OpenSSL names them, such as ECDHE+AESGCM; empty: Python's"
    " default",
    verify=tls_context.check_ciphers,
)
xmpp_tls_resumption = setting(
    False, "Resume TLS sessions; otherwise each connection does a full handshake"
)
