"""What the server does beyond messages, presence and rosters.

A `Service` has an address of its own, such as ``conference.localhost``, and is given whatever is
sent to it: rooms (`muc`), light rooms (`muc_light`) and publishing (`pubsub`). The other modules
serve a user's own account: `mam`, `offline`, `carbons`, `blocking`, `stored`, `pep`.
"""
