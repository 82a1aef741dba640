"""Replicas replaced under load: by another release, and by others with another security-id."""
