"""Functions of the server beyond messages, presence and rosters.

A `Service` has its own address, such as ``conference.localhost``, and receives all stanzas sent to
it: rooms (`muc`), light rooms (`muc_light`) and publish-subscribe (`pubsub`). The other modules
serve a user's own account: `mam`, `offline`, `carbons`, `blocking`, `stored`, `pep`.
"""
