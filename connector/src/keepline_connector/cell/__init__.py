"""A cell: one process with the WhatsApp library and the devices it holds. `process` starts the Go runtime, the rest does not."""
