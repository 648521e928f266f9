"""`python -m infra.checks`: everything that can be known of a deployment without a cloud and without a network. Exits with 1 if
something is wrong. `make check-infra` runs it, and then checkov and hadolint, which come from PyPI."""

from __future__ import annotations

import sys
import time

from infra.checks import commands, functions, permissions, promises, schemas, terraform_rules

CHECKS = {
    "Terraform: declared, used, and as the providers take it": terraform_rules.problems,
    "Permissions: what the code calls, and who may": permissions.problems,
    "Functions: main.py, functions.json and Terraform": functions.problems,
    "Firebase and Cloud Build: their schemas": schemas.problems,
    "Commands in the documentation": commands.problems,
    "Promises: the page's words, and a test for each": promises.problems,
}


def main() -> int:
    """Run every check, say what is wrong, and how many it is."""
    wrong = 0
    for name, check in CHECKS.items():
        begun = time.perf_counter()
        found = check()
        print(f"{'ok ' if not found else 'BAD'} {name} ({time.perf_counter() - begun:.1f} s)")
        for problem in found:
            print(f"    {problem}")
        wrong += len(found)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
