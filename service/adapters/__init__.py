"""One place for each thing outside: Kafka, the provider, metrics, logs, the web, the clocks.

Adapters translate a client's words and errors into ours, and know nothing of each other.
"""
