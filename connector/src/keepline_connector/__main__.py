"""`python -m keepline_connector`: a connector, set up by KEEPLINE_* environment variables (see settings.py)."""

from keepline_connector.app import main

main()
