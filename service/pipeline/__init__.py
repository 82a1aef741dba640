"""The asyncio shell around the core: it decides with the core first, then does IO with the answer.

Knows nothing of client libraries (ports.py) nor of the command line. The loop's clock is the only
clock it reads besides the `Clock` port.
"""
