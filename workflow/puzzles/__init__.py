"""The library behind the workflow. Packages in order, each importing only from those before it.

``base``, ``config``, ``data``, ``networks``, ``training``, ``analysis``, ``output``. All of it works without Snakemake.
"""
