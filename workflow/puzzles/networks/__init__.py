"""The paper's networks as torch modules, their layers, their norms, and what is measured of one network.

A network here is a module and its examples; nothing trains.
"""
