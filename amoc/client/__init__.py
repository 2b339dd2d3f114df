"""Runs from a program: started here with `run`, or on a server with `Client`; and from pytest."""

from typing import TYPE_CHECKING

from amoc.base import lazy_names

if TYPE_CHECKING:
    from amoc.client.api import run
    from amoc.client.http_line import ServiceError
    from amoc.client.local import Stopped, read_run
    from amoc.client.remote import Client
    from amoc.client.result import RunResult

__all__ = [
    # what a program calls
    "Client",
    "read_run",
    "run",
    # what those return and raise
    "RunResult",
    "ServiceError",
    "Stopped",
]

if not TYPE_CHECKING:  # pytest loads this for each project, used or not
    __getattr__ = lazy_names.loader(
        globals(),
        {
            "amoc.client.api": ("run",),
            "amoc.client.http_line": ("ServiceError",),
            "amoc.client.remote": ("Client",),
            "amoc.client.local": ("Stopped", "read_run"),
            "amoc.client.result": ("RunResult",),
        },
    )
