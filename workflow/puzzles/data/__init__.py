"""Fetch and check data sets, then prepare them for one network: subset, labels, scaling, batches.

Each kind of random draw has its own generator, named where it is drawn.
"""
