"""Attachments: sealed by whoever sends them, kept as blobs that mean nothing to the server, opened by whoever gets them."""
