"""REST: the server and its nodes."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from http import HTTPStatus
from typing import TypedDict

from flask_openapi3 import OpenAPI, Tag
from pydantic import BaseModel, Field

from amoc import __version__
from amoc.base.errors import AmocError
from amoc.base.json_plain import JsonObject
from amoc.control import client
from amoc.results.run_directory import RunDirectory
from amoc.results.run_list import QUEUED
from amoc.service import guard
from amoc.service.answers import NodeBody, NodesBody, StatusBody, responses
from amoc.service.problems import not_found
from amoc.service.service import Service

_TAG = Tag(name="status", description="The server and its nodes")
STATUS_S = 10.0
THIS_HOST = "node0"
"""Name of the node that is listed while nothing runs."""


class Share(TypedDict):
    """A run's share of a node."""

    run: str
    users: int


class Node(TypedDict):
    """A node, as `NodeBody` documents it."""

    node: str
    state: str
    runs: list[Share]


class NodePath(BaseModel):
    """The node."""

    node: str = Field(min_length=1, max_length=200)


def register(app: OpenAPI, service: Service) -> None:
    """Add the routes."""

    @app.get("/status", tags=[_TAG], responses=responses(ok=StatusBody))
    def status() -> JsonObject:
        """Get the status of the server, and of each running run."""
        role = guard.role()
        assert role is not None  # the path is not open to everyone
        runs = [{"run": one.id, **answer} for one, answer in answers(service, "status")]
        return {
            "amoc": "up",
            "version": __version__,
            "state": runs[0]["state"] if runs else "idle",
            "runs": runs,
            "queued": [one.id for one in service.runs.queue if one.state == QUEUED],
            "parallel": service.runs.queue.parallel,
            "uploads": service.config.upload,
            "role": role.name.lower(),
        }

    @app.get("/nodes", tags=[_TAG], responses=responses(ok=NodesBody))
    def nodes() -> JsonObject:
        """List the nodes of running runs; this host if none is running."""
        return {"nodes": {name: one["state"] for name, one in _nodes(service).items()}}

    @app.get("/status/<node>", tags=[_TAG], responses=responses(HTTPStatus.NOT_FOUND, ok=NodeBody))
    def node_status(path: NodePath) -> JsonObject:
        """Get a node and its users."""
        found = _nodes(service).get(path.node)
        if found is None:
            raise not_found("node", path.node, "node")
        return found


def answers(service: Service, command: str) -> Iterator[tuple[RunDirectory, JsonObject]]:
    """Yield each running run with its answer to a command; those that do not answer are skipped."""
    for one in service.runs.running():
        with suppress(AmocError):
            yield one, client.request(one.control, command, {}, timeout_s=STATUS_S)


def _nodes(service: Service) -> dict[str, Node]:
    """Return the nodes of running runs, by name."""
    found: dict[str, Node] = {}
    for directory, answer in answers(service, "users"):
        point = service.series.last(directory)
        late = set(point.late) if point is not None else set()
        users: dict[str, int] = {}
        for one in answer["workers"]:
            name = str(one["worker"]).rpartition("/")[0]
            users[name] = users.get(name, 0) + (one["alive"] or 0)
        for name in sorted(users.keys() | late):
            node = found.setdefault(name, {"node": name, "state": "up", "runs": []})
            node["state"] = "late" if name in late else node["state"]
            node["runs"].append({"run": directory.id, "users": users.get(name, 0)})
    return found or {THIS_HOST: {"node": THIS_HOST, "state": "up", "runs": []}}
