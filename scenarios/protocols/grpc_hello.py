"""Users keep a gRPC channel open, call a method, and read a stream.

pip install grpcio protobuf
amoc run scenarios/protocols/grpc_hello.py --users 50 --duration 1m --set target=127.0.0.1:50051
"""

import grpc
from gevent import get_hub
from google.protobuf.wrappers_pb2 import StringValue
from grpc.experimental.gevent import init_gevent

from amoc import check, expect, setting, step, user

target = setting("127.0.0.1:50051", "Host and port of the server")
pause = setting(1.0, "Mean seconds between two calls", verify=lambda s: s > 0)
timeout = setting(10.0, "Timeout of a call, in seconds", verify=lambda s: s > 0)
threads = setting(100, "Threads per worker: each waiting channel needs one", verify=lambda n: n > 0)

expect("crashes == 0")

# Each user has its own connections; without this, all channels to a target share one.
OPTIONS = [("grpc.use_local_subchannel_pool", 1)]
STATE = {"asked": False, "channel": None}


def start(user_id):
    wait_until_ready()
    with grpc.insecure_channel(target.get(), OPTIONS) as channel:
        greeter = Greeter(channel)
        while not user.wait_stopping(pause.get() * user.random.uniform(0.5, 1.5)):
            answer = call("hello", lambda: greeter.hello(named(user_id), timeout=timeout.get()))
            if answer is not None:
                check("it greets us", answer.value == f"hello user {user_id}", answer.value)
            # A stream is over when the last message has arrived, and then its step is, too.
            call("count", lambda: list(greeter.count(named(user_id), timeout=timeout.get())))


def named(user_id):
    return StringValue(value=f"user {user_id}")


def call(name, method):
    """Return the result of a call; None if it fails, which is counted by gRPC status."""
    with step(name) as this:
        try:
            return method()
        except grpc.RpcError as error:
            this.fail(error.code().name, error.details() or "")
            return None


class Greeter:
    """The stub that protoc would generate; written by hand to keep this in one file."""

    def __init__(self, channel):
        coding = {
            "request_serializer": StringValue.SerializeToString,
            "response_deserializer": StringValue.FromString,
        }
        self.hello = channel.unary_unary("/amoc.Greeter/Hello", **coding)
        self.count = channel.unary_stream("/amoc.Greeter/Count", **coding)


def wait_until_ready():
    """Make gRPC wait through gevent: done in each worker, as its threads would not survive a fork.

    The first channel starts a greenlet for all channels. It is created by the event loop and kept:
    if a user created it, that greenlet would count as the user's own.
    """
    if not STATE["asked"]:
        STATE["asked"] = True
        get_hub().loop.run_callback(make_ready)
    while STATE["channel"] is None:
        user.sleep(0.001)


def make_ready():
    get_hub().threadpool.maxsize = threads.get()
    init_gevent()
    STATE["channel"] = grpc.insecure_channel(target.get())
