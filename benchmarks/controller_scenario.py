"""Scenario of benchmarks/controller.py: its nodes are fake, and only claim to run it.

See benchmarks/controller.py.
"""


def start(user_id):
    raise AssertionError("this is never run")
