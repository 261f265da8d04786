"""What every step needs from the machine, whatever it works on.

Processes with limits, calls in child processes with progress and typed results, the secrets that
each process may read, addresses and ports, and the store of verified files.
"""
