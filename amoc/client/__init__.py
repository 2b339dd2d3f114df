"""Runs from Python: locally with `run`, on a server with `Client`, and from pytest."""

from typing import TYPE_CHECKING

from amoc.base import lazy_names

if TYPE_CHECKING:
    from amoc.client.api import run
    from amoc.client.local import Stopped, read_run
    from amoc.client.remote import Client
    from amoc.client.rest_client import ServiceError
    from amoc.client.result import RunResult

__all__ = [
    # functions and classes to call
    "Client",
    "read_run",
    "run",
    # results and errors
    "RunResult",
    "ServiceError",
    "Stopped",
]

if not TYPE_CHECKING:  # pytest imports this in every project, whether it is used or not
    __getattr__ = lazy_names.loader(
        globals(),
        {
            "amoc.client.api": ("run",),
            "amoc.client.rest_client": ("ServiceError",),
            "amoc.client.remote": ("Client",),
            "amoc.client.local": ("Stopped", "read_run"),
            "amoc.client.result": ("RunResult",),
        },
    )
