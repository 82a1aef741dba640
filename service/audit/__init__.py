"""The audit: reads the topics in the order that allows no false alarm, and reports.

What a mark, an open event or a lost one is, the core decides (core/audit.py).
"""
