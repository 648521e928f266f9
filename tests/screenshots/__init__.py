"""Pictures of the console for its manual: `make screenshots`."""
