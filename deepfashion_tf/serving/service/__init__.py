"""The HTTP API: images of many requests, answered in common batches."""
