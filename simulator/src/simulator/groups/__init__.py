"""Groups: who is in them (`model`), what clients ask and change (`queries`), what members are told (`notices`), and how a
message reaches all of them (`fanout`)."""
