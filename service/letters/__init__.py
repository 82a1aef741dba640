"""Dead letters for operators: finding them and telling their history.

What a dead letter says, the core reads (core/letters.py).
"""
