"""The cost curve: what an account costs a month in installations of several sizes, by profile. Nothing is run for it.

The operations were counted by bench/accept_to_wire.py and in the code (keepline/domain/costs.py says which is which); the prices
are Google's lists of the day that stands there. The last line is JSON.
"""

from __future__ import annotations

import argparse
import json

from keepline.domain.costs import MONTH_DAYS, PRICES_OF, account_month_usd, day_without_messages, sized, total_usd
from keepline.domain.lease import PROFILES

SENT_PER_DAY, RECEIVED_PER_DAY = 100.0, 100.0


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--accounts", type=int, nargs="+", default=[1, 10, 100, 1_000, 10_000])
    parser.add_argument("--sent", type=float, default=SENT_PER_DAY, help="messages that an account sends a day")
    parser.add_argument("--received", type=float, default=RECEIVED_PER_DAY, help="messages that it gets a day")
    given = parser.parse_args()
    print(
        f"US dollars a month, {given.sent:g} messages sent and {given.received:g} received a day, prices of {PRICES_OF}"
    )
    print(
        f"{'accounts':>9} {'profile':>8} {'standby':>8} {'connectors':>10} {'an account':>11} {'in all':>12} {'at rest':>12}"
    )
    curve = []
    for accounts in given.accounts:
        for profile in PROFILES.values():
            for standby in (True, False):
                fleet = sized(accounts, profile, standby=standby)
                # Each message of both directions goes to one webhook.
                each = account_month_usd(fleet, given.sent, given.received, given.sent + given.received)
                rest = total_usd(day_without_messages(fleet)) * MONTH_DAYS
                words = "yes" if standby else "no"
                print(
                    f"{accounts:>9} {profile.name:>8} {words:>8} {fleet.connectors:>10}"
                    f" {each:>11.2f} {each * accounts:>12.2f} {rest:>12.2f}"
                )
                curve.append(
                    {
                        "accounts": accounts,
                        "profile": profile.name,
                        "standby": standby,
                        "connectors": fleet.connectors,
                        "usd_per_account_month": round(each, 4),
                    }
                )
    print(
        json.dumps(
            {"prices_of": PRICES_OF, "sent_per_day": given.sent, "received_per_day": given.received, "curve": curve}
        )
    )


if __name__ == "__main__":
    main()
