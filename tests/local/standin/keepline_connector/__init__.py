"""In the connector's place in tests of the runner: answers health checks, keeps a cell, and ends as it is told."""
