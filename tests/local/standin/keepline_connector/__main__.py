import sys

from keepline_connector.app import main

sys.exit(main(cell_module="keepline_connector.cell"))
