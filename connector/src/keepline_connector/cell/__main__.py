"""`python -m keepline_connector.cell --fd N`: started by the supervisor, never by hand."""

from keepline_connector.cell import main

main()
