"""Google APIs on loopback that record what they are asked, with Google's own messages."""
