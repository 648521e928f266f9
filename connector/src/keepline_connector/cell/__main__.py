"""`python -m keepline_connector.cell --fd N`: started by the supervisor, never by hand."""

from keepline_connector.cell.process import main

main()
