"""Keepers on the hosts of a Ray cluster.

    starter   the controller's side: starts the driver, and processes its messages
    driver    the process that uses Ray; it has no gevent event loop, and Ray may end it
    hosts     which hosts get a keeper, and the resources that each must provide
    actor     what Ray runs on each of these hosts: it starts the keeper, and watches it

Ray finds hosts, starts keepers and streams their output. Whether they are alive amoc determines
itself: a keeper's beats go directly to the controller, not through Ray.
"""
