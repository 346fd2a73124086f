"""Validate the configuration and expand it into experiments, with one spec for each network.

Nothing here reads data or imports torch.
"""
