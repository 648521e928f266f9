"""Release an image of the connector, the standby's connector first.

    python -m infra.canary --project P --image REGION-docker.pkg.dev/P/keepline/connector@sha256:… \\
        --pool europe-west1/connector-1 --pool europe-west4/connector-2

Exit code 0: all have it. 1: one was not well with it, and all have the image that they had before. It is safe to repeat.
"""

from __future__ import annotations

import argparse
import asyncio
import time
from datetime import UTC, datetime

from google.cloud.run_v2 import WorkerPoolsAsyncClient

from infra.canary.looking import look_until_answered
from infra.canary.releasing import PoolTrouble, release
from infra.canary.worker_pools import WorkerPools
from keepline.adapters.firestore import FirestoreDocuments


def say(text: str) -> None:
    print(f"{datetime.now(UTC):%H:%M:%S} {text}", flush=True)


async def run(project: str, image: str, regions: dict[str, str]) -> int:
    store = FirestoreDocuments(project)
    try:
        pools = WorkerPools(WorkerPoolsAsyncClient(), project, regions)
        done = await release(pools, lambda: look_until_answered(store), time.monotonic, list(regions), image, say)
    except PoolTrouble as error:
        say(f"nothing was changed by this step: {error}")
        return 1
    finally:
        await store.close()
    return 0 if done else 1


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m infra.canary", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--project", required=True, help="the Google Cloud project")
    parser.add_argument("--image", required=True, help="the new image, by its digest: NAME@sha256:…")
    parser.add_argument(
        "--pool", required=True, action="append", metavar="REGION/CONNECTOR", help="once for each connector"
    )
    options = parser.parse_args()
    if "@sha256:" not in options.image:
        parser.error("--image must name a digest: a tag may be another image by the time it is put back")
    regions = {connector: region for region, _, connector in (pool.partition("/") for pool in options.pool)}
    return asyncio.run(run(options.project, options.image, regions))


if __name__ == "__main__":
    raise SystemExit(main())
