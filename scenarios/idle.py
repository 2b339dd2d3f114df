"""Users that do nothing: how many of them fit, and how fast they start."""

from amoc import user


def start(user_id):
    user.wait_stopping()
