"""The library behind the workflow; it works without Snakemake.

Packages: ``base``, ``config``, ``data``, ``networks``, ``training``, ``analysis``, ``output``. Each imports only from those
listed before it.
"""
