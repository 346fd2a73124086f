"""The normalization on any torch network: norms, their product, batch norm folded, the normalized loss.

It imports torch and nothing else, and refuses what it cannot do right.
"""
