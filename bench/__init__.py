"""Measures what one call costs the dispatcher: CPU, memory, calls a second.

Knows nothing of the dispatcher's inside: it loads Kafka, runs the real program against a sink, and
reads /proc and the topics.
"""
