"""The paper's networks as torch modules, their layers, their norms, and what is measured of one network.

Nothing here trains a network.
"""
