"""What every other package rests on: file names, files written whole, tables, errors, digests, random generators.

Nothing here knows what a network is.
"""
