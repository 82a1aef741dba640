"""Decisions only: no asyncio, no clock, no log, no client.

Time comes in as an argument and answers go out as values, so that every rule can be tested alone.
"""
