"""Train populations of networks on a CPU or a GPU, and cache each trained network.

A network's weights depend only on its spec, not on the networks that are trained together with it.
"""
