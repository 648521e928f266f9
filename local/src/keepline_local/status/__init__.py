"""`make status`: the live picture of an installation in a terminal, with the figures that its API gives.

Beside the local run, because that is where people look at it most and where the key and the address need not be typed; it works
with any installation by KEEPLINE_URL and an operator's KEEPLINE_API_KEY, for all it knows is the API.
"""
