"""How nodes, and the services a run brings with it, come to be."""
