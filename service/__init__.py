"""The call dispatcher: call events in from Kafka, batches out to the provider over HTTP."""
