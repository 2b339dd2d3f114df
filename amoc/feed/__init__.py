"""Feeds: rows of test data for users, from CSV or JSON Lines files or any Python iterable.

accounts = feed.csv("accounts.csv", order="unique")     # at a module's top level

def start(user_id):
    me = accounts.next()                                # a dict
"""

from amoc.feed.api import csv, jsonl, rows
from amoc.feed.feed import Exhausted, Feed

__all__ = ["Exhausted", "Feed", "csv", "jsonl", "rows"]
