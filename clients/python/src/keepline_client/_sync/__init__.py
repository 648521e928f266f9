"""The client without `await`, made of the other one by clients/python/make_sync.py."""
