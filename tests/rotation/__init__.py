"""Credentials changed while events come: replicas are replaced, and nothing is lost or doubled."""
