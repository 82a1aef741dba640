"""The limit by the provider's clock: real processes, a backlog, and what usually goes wrong."""
