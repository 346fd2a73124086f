"""Training populations of networks, on a CPU or a GPU, and the cache that keeps each trained network.

A network's weights depend on its spec only, not on the engine's choice of who trains beside it.
"""
