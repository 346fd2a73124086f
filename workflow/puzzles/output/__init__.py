"""What a reader gets: figures, the report, records of where a run comes from, published runs.

Everything is made from tables; nothing here computes with a network.
"""
