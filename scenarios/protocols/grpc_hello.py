"""Users keep a channel of gRPC open, call a method, and read a stream.

pip install grpcio protobuf
amoc run scenarios/protocols/grpc_hello.py --users 50 --duration 1m --set target=127.0.0.1:50051
"""

import grpc
from gevent import get_hub
from google.protobuf.wrappers_pb2 import StringValue
from grpc.experimental.gevent import init_gevent

from amoc import check, expect, setting, step, user

target = setting("127.0.0.1:50051", "Host and port of the server")
pause = setting(1.0, "Mean of the seconds between two calls", verify=lambda s: s > 0)
timeout = setting(10.0, "Seconds that a call may take", verify=lambda s: s > 0)
threads = setting(100, "Threads of a worker: channels wait in one each", verify=lambda n: n > 0)

expect("crashes == 0")

# Each user has connections of its own; otherwise all channels to a target share one.
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
            # A stream is over when the last message has come, and so is its step.
            call("count", lambda: list(greeter.count(named(user_id), timeout=timeout.get())))


def named(user_id):
    return StringValue(value=f"user {user_id}")


def call(name, method):
    """What a call returns; None where it fails, which is counted by gRPC's status."""
    with step(name) as this:
        try:
            return method()
        except grpc.RpcError as error:
            this.fail(error.code().name, error.details() or "")
            return None


class Greeter:
    """What a stub that protoc has generated does; here without a file of its own."""

    def __init__(self, channel):
        coding = {
            "request_serializer": StringValue.SerializeToString,
            "response_deserializer": StringValue.FromString,
        }
        self.hello = channel.unary_unary("/amoc.Greeter/Hello", **coding)
        self.count = channel.unary_stream("/amoc.Greeter/Count", **coding)


def wait_until_ready():
    """Let gRPC wait by gevent: in each worker, since what it starts would not survive a fork.

    The first channel starts a greenlet for all. It is made by the event loop, and kept: a user's
    would be taken for the user's own.
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
