"""The demo: everything on one machine, as processes of their own, judged from outside.

Knows nothing of what goes on inside the dispatcher: it starts the program as an operator would and
believes only the twin's ledger and the topics.
"""
