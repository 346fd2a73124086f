"""Data sets: fetched and checked, then prepared for one network (subset, labels, scaling, batches).

Every random choice has a generator of its own, named in the code that draws.
"""
