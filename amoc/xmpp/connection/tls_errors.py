"""Explanations of TLS errors: which setting to change, and what else the peer speaks."""

from __future__ import annotations

import ssl
from typing import Final

from amoc.xmpp import errors
from amoc.xmpp.connection import causes
from amoc.xmpp.transports.tls import NotTls, Truncated

_HINTS: Final = {
    "HTTP": "this is the port of a web server, or of WebSocket and BOSH: use ws:// or http://",
    "XMPP": "use xmpp_tls=starttls, or the port for direct TLS",
}
# Codes of X509_STORE_CTX_get_error(3).
_EXPIRED: Final = 10
_NOT_YET_VALID: Final = 9
_WRONG_NAMES: Final = (62, 64)
_UNKNOWN_ISSUER: Final = (18, 19, 20, 21)
_OWN_CERTIFICATE: Final = (
    "CERTIFICATE_REQUIRED",
    "ALERT_BAD_CERTIFICATE",
    "ALERT_CERTIFICATE_EXPIRED",
    "ALERT_CERTIFICATE_REVOKED",
    "ALERT_CERTIFICATE_UNKNOWN",
    "ALERT_UNSUPPORTED_CERTIFICATE",
    "ALERT_UNKNOWN_CA",
)


def refused(error: Exception, who: str, server_name: str) -> errors.ConnectError:
    """Return the error for a failed TLS handshake.

    Args:
        error: The transport's error.
        who: User and server, for messages.
        server_name: The requested server name.
    """
    if isinstance(error, TimeoutError):
        return errors.ConnectTimeout(
            f"{who}: the server did not complete the TLS handshake in time (xmpp_connect_timeout)",
            causes.TIMEOUT_TLS,
        )
    if isinstance(error, NotTls):
        what = f"{error.protocol} without TLS" if error.protocol else "something other than TLS"
        hint = _HINTS.get(error.protocol)
        return errors.TlsError(
            f"{who}: the server speaks {what} on this port" + (f"; {hint}" if hint else "")
        )
    if isinstance(error, ssl.SSLCertVerificationError):
        return errors.CertificateError(f"{who}: {_certificate(error, server_name)}")
    if isinstance(error, ssl.SSLError):
        return errors.TlsError(f"{who}: the TLS handshake failed: {reason(error)}")
    if isinstance(error, Truncated):
        return errors.ConnectError(
            f"{who}: the server closed the connection during the TLS handshake", causes.CLOSED
        )
    text = getattr(error, "strerror", None) or str(error)
    return errors.ConnectError(
        f"{who}: the connection was lost during the TLS handshake: {text}", causes.of_loss(error)
    )


def lost(error: ssl.SSLError, who: str, place: str) -> errors.XmppError:
    """Return the error for a broken TLS connection; `place` is the position in the stream."""
    # In TLS 1.3 the server checks the client's certificate after the client's handshake is done.
    if any(one in (error.reason or "") for one in _OWN_CERTIFICATE):
        return errors.TlsError(f"{who}: {reason(error)}")
    return errors.Disconnected(
        f"{who}: the TLS connection broke {place}: {reason(error)}", causes.TLS
    )


def reason(error: ssl.SSLError) -> str:
    """Return the reason, with the setting to change."""
    name = error.reason or ""
    text = (name or error.strerror or str(error)).lower().replace("_", " ")
    if any(one in name for one in _OWN_CERTIFICATE):
        return f"the server rejects the user's certificate, {text}; see xmpp_tls_certificate"
    if "PROTOCOL_VERSION" in name or "UNSUPPORTED_PROTOCOL" in name:
        return f"no common version of TLS, {text}; see xmpp_tls_minimum_version"
    if "HANDSHAKE_FAILURE" in name or "NO_SHARED_CIPHER" in name or "NO_CIPHERS" in name:
        return f"no common ciphers, or a certificate is required, {text}; see xmpp_tls_ciphers"
    return text


def _certificate(error: ssl.SSLCertVerificationError, server_name: str) -> str:
    code, said = error.verify_code, error.verify_message
    if code in _WRONG_NAMES:
        return (
            f"the server's certificate is not for {server_name}; set xmpp_tls_name to a name"
            " in the certificate"
        )
    if code == _EXPIRED:
        problem, advice = "has expired", "renew it"
    elif code == _NOT_YET_VALID:
        problem, advice = "is not valid yet", "check the clocks"
    elif code in _UNKNOWN_ISSUER:
        problem = f"is signed by an authority that is not trusted here ({said})"
        advice = "set xmpp_tls_ca to the authority's certificate"
    else:
        problem, advice = f"is not valid ({said})", "replace it"
    instead = "disable the check with xmpp_tls_verify=false"
    return f"the server's certificate {problem}; {advice}, or {instead}"
