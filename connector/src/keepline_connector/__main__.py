"""`python -m keepline_connector`: a connector, set up by KEEPLINE_* environment variables (see settings.py).

With a command it tells another connector something (see draining.py).
"""

import sys

if len(sys.argv) > 1:
    from keepline_connector import draining

    draining.main(sys.argv[1:])
else:
    from keepline_connector import app

    app.main()
