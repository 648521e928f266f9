"""The client with `await`: the source that the other one is made of, by clients/python/make_sync.py."""
