"""The demo's connector: the production one, whose cells trust the simulator in WhatsApp's place."""

from __future__ import annotations

from keepline_connector import app

if __name__ == "__main__":
    app.main(cell_module="keepline_local.simulated_cell")
