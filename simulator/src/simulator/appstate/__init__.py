"""App state: settings that all devices of a number share, as encrypted patches that the server keeps but cannot read.

`patches` is their cryptography, `collections` the server's side of them, `settings` a phone's.
"""
