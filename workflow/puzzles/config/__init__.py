"""From YAML to descriptions: a validated configuration, its experiments, and one spec for each network.

Nothing here reads data or imports torch.
"""
