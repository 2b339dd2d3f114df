"""All messages between processes, by subject, and their encoding.

A message is an immutable named tuple with documented fields. Commands go down (controller, node,
supervisor, worker), reports go up; `links` lists the messages of each link. Messages between the
two ends of a feature travel in envelopes.
"""
