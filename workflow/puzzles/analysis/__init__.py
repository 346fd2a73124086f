"""Make tables of trained networks: measurements, fitted lines, rank correlations, verdicts on the paper's claims.

Nothing here trains a network.
"""
