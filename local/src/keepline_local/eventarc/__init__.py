"""Eventarc on one machine: takes the emulators' events over and delivers each to its function, again and again if need be.

It lives in the runner, not beside the functions, so that an event which comes while the functions host is down is kept, as in
the cloud.
"""
