"""Helpers for all other packages: paths, atomic files, locks, CSV tables, errors, digests, random generators.

Nothing here depends on networks or on the configuration.
"""
