"""Messages: everything that crosses a process boundary, by subject, and how it becomes bytes.

A message is an immutable named tuple with a sentence for each field. Commands go down (controller,
node, supervisor, worker), reports go up; `links` says which of them go where. What the two ends of
a feature say to each other travels in envelopes.
"""
