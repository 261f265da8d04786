"""What every step needs from the machine.

Child processes with limits, the secrets that each process may read, addresses and ports, the store
of verified files, and progress. Nothing here knows what a model is.
"""
