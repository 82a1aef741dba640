"""The operators' page in a real Chromium, before a real dispatcher."""
