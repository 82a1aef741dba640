"""Kafka through aiokafka: producer, readers, election and topics of the pipeline's ports.

Knows nothing of batches, verdicts or other adapters. Every call on a client is bounded in time,
for most of aiokafka's hang while the broker is away.
"""
