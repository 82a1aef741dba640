"""Sends dead letters again: a plan that changes nothing, and its execution.

Knows nothing of how a plan is shown, nor of how the dispatcher treats a replayed event.
"""
