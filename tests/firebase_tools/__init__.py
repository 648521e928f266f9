"""The console on Firebase's own emulators: optional, because they come from npm (make test-firebase-tools)."""
