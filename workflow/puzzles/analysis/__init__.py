"""From trained networks to tables: measurements, fitted lines, rank correlations, verdicts on the paper's claims.

Reads what training has written; trains nothing.
"""
