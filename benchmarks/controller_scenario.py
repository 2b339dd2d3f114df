"""What the controller of many nodes is told to run: its nodes are fake, and only say that they do.

See benchmarks/controller.py.
"""


def start(user_id):
    raise AssertionError("nobody runs this")
