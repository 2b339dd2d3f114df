"""Certificates for TLS servers in tests, valid and invalid ones."""

from __future__ import annotations

from pathlib import Path

from tests.certificates import Authority


class ServerCertificates:
    """An authority's certificates for a server's hosts, and for its users.

    Attributes:
        ca: The authority that clients and servers trust.
        other_ca: An authority that has signed none of them.
        valid: A valid certificate, for ``localhost`` and subdomains.
        expired: An expired one, for ``expired.localhost``.
        misnamed: One that is not for the name of its host.
        users: The path of users' certificates, with ``{id}`` for the number; see `issue_user`.
    """

    def __init__(self, directory: Path) -> None:
        self._authority = Authority(directory)
        self.ca = self._authority.ca
        self.other_ca = Authority(directory, "Other CA").ca
        names = ["localhost", "old.localhost", "anonymous.localhost"]
        self.valid = self._authority.issue("valid.pem", names)
        self.expired = self._authority.issue("expired.pem", ["expired.localhost"], -1.0)
        self.misnamed = self._authority.issue("misnamed.pem", ["elsewhere.example"])
        self.users = str(directory / "user_{id}.pem")

    def issue_user(self, number: int) -> None:
        """Issue a certificate for a user."""
        self._authority.issue(f"user_{number}.pem", jid=f"user_{number}@localhost")
