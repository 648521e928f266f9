"""The documents as a person reads them in the Firestore console: one module per collection, typed both ways."""
