"""Outputs for readers: figures, the report, provenance, published runs.

All are made from tables; nothing here computes with a network.
"""
