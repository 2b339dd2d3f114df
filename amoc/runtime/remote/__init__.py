"""Nodes on other hosts: a keeper on each starts the node there, and ends it in time.

    rendezvous    the controller's side of joining: hosts that know the run's secret may join
    joining       the host's side
    launcher      starts the nodes of a run
    remote_node   one of them, as seen by the run
    starter       the interface of whatever starts keepers on hosts
    keeper        the process on the host; it is the node's parent and its lifeline
    ssh           starts keepers by OpenSSH's client
    ray           starts keepers by Ray
    address       addresses, as operators write them
    secret        the secret that operators share
    fencing       when a node that is cut off must be gone, on either side

Four ports follow the one where hosts join: two for keepers and two for nodes.
"""
