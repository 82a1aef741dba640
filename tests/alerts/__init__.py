"""The alerts of deploy/prometheus: their words, and the real chain from a fault to a webhook."""
