"""Certificates for tests, signed by an authority that is created for them."""

from __future__ import annotations

import datetime as dt
import ipaddress
from collections.abc import Sequence
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID, ObjectIdentifier

XMPP_ADDRESS = ObjectIdentifier("1.3.6.1.5.5.7.8.5")
DAY = dt.timedelta(days=1)


class Authority:
    """A certificate authority.

    Attributes:
        directory: The directory of its files.
        ca: The file of its certificate, for those that should trust it.
    """

    def __init__(self, directory: Path, name: str = "Test CA") -> None:
        self.directory = directory
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        certificate = (
            _builder(self._name, self._key, -1, 30)
            .issuer_name(self._name)
            .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
            .sign(self._key, hashes.SHA256())
        )
        self.ca = str(directory / f"{name.replace(' ', '-')}.pem")
        Path(self.ca).write_bytes(certificate.public_bytes(serialization.Encoding.PEM))

    def issue(
        self, file: str, names: Sequence[str] = ("localhost",), days: float = 2, jid: str = ""
    ) -> str:
        """Issue a certificate; return the PEM file with the certificate and its key.

        Args:
            file: Its name.
            names: Host names or IP addresses.
            days: How many days it is valid; negative if it has expired.
            jid: The user that it identifies, for SASL EXTERNAL.
        """
        key = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, (jid or names[0]))])
        alternatives: list[x509.GeneralName] = [_general(name) for name in names]
        if jid:
            der = b"\x0c" + bytes((len(jid),)) + jid.encode()
            alternatives = [x509.OtherName(XMPP_ADDRESS, der)]
        certificate = (
            _builder(subject, key, min(-1.0, days - 1), days)
            .issuer_name(self._name)
            .add_extension(x509.SubjectAlternativeName(alternatives), critical=False)
            .sign(self._key, hashes.SHA256())
        )
        path = self.directory / file
        path.write_bytes(
            certificate.public_bytes(serialization.Encoding.PEM)
            + key.private_bytes(
                serialization.Encoding.PEM,
                serialization.PrivateFormat.PKCS8,
                serialization.NoEncryption(),
            )
        )
        return str(path)


def _general(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        return x509.DNSName(name)


def _builder(
    subject: x509.Name, key: ec.EllipticCurvePrivateKey, since: float, until: float
) -> x509.CertificateBuilder:
    now = dt.datetime.now(dt.UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now + since * DAY)
        .not_valid_after(now + until * DAY)
    )
