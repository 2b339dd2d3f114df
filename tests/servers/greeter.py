"""A gRPC server for tests, using the library grpcio: it says hello, and counts to three.

It is a program: ``python greeter.py PORT``.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from concurrent import futures
from typing import Any

import grpc
from google.protobuf.wrappers_pb2 import StringValue

CODING: dict[str, Any] = {
    "request_deserializer": StringValue.FromString,
    "response_serializer": StringValue.SerializeToString,
}


def hello(request: StringValue, context: grpc.ServicerContext) -> StringValue:
    if request.value == "user 1":
        context.abort(grpc.StatusCode.PERMISSION_DENIED, "not you")
    return StringValue(value=f"hello {request.value}")


def count(request: StringValue, _context: grpc.ServicerContext) -> Iterator[StringValue]:
    for number in range(1, 4):
        yield StringValue(value=f"{number} for {request.value}")


if __name__ == "__main__":
    server = grpc.server(futures.ThreadPoolExecutor(8))
    handlers = {
        "Hello": grpc.unary_unary_rpc_method_handler(hello, **CODING),
        "Count": grpc.unary_stream_rpc_method_handler(count, **CODING),
    }
    service = grpc.method_handlers_generic_handler("amoc.Greeter", handlers)
    server.add_generic_rpc_handlers((service,))
    server.add_insecure_port(f"127.0.0.1:{sys.argv[1]}")
    server.start()
    server.wait_for_termination()
