"""Benchmarks: how fast the engine is, compared with the code of the usual tutorials."""
