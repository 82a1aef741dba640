"""Grafana's dashboards as code, and the proof that each panel shows something."""
