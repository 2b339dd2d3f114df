"""Keepers on the hosts of a Ray cluster.

    starter   the controller's side: starts the driver, and hears what becomes of it
    driver    the process that speaks to Ray; it has no event loop of ours, and Ray may end it
    hosts     which hosts get a keeper, and what each has to give for it
    actor     what Ray runs on each of these hosts: it starts the keeper, and watches it

Ray finds hosts, starts the keepers and streams what they say. Who is alive amoc knows by itself: a
keeper's beats go to the controller and not by way of Ray.
"""
