"""Nodes on other hosts: a keeper on each starts the node there, and ends it in time.

    rendezvous    the controller's side of joining: who knows the secret of the run may come
    joining       the host's side
    launcher      starts the nodes of a run
    remote_node   one of them, as the run sees it
    starter       what brings hosts, as the launcher sees it
    keeper        the process on the host; it is the node's parent and its lifeline
    ssh           keepers by OpenSSH's client
    ray           keepers by Ray
    address       addresses, as operators write them
    secret        the secret that operators share
    fencing       when a node that is cut off has to be gone, on either side

Four ports in a row follow the one that hosts join at: two for keepers and two for nodes.
"""
