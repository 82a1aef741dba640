"""The container image, looked into and run: `make image`."""
