"""A cell of the demo's connector: the production one, with the simulator's root key in the place of WhatsApp's.

The simulator has a key of its own and writes it to `noise_root.hex` in the folder that KEEPLINE_SIMULATOR_DIR names.
"""

from __future__ import annotations

import os
from pathlib import Path

from keepline_connector.cell import process
from simulator import trust


def main() -> None:
    """Trust the simulator, then be the cell. The key is replaced in the neonize library, which importing the cell has loaded."""
    root = (Path(os.environ["KEEPLINE_SIMULATOR_DIR"]) / "noise_root.hex").read_text().strip()
    trust.trust_this_simulator(bytes.fromhex(root))
    process.main()


if __name__ == "__main__":
    main()
