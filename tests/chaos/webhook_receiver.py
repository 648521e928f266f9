"""A receiver of webhooks that misbehaves by chance and can be killed: `python -m tests.chaos.webhook_receiver PORT LOG SEED`.

It writes down what it takes before it says so, as a receiver must that wants to lose nothing. It needs nothing of Keepline.
"""

from __future__ import annotations

import asyncio
import json
import os
import random
import sys

# In so many of a hundred calls.
TROUBLE = {"fail": 2, "hang": 1, "redirect": 2, "close": 2, "slow": 2, "lost": 2}
SLOW_S = 0.2


async def main(port: int, log: str, seed: int) -> None:
    chance = random.Random(seed)
    record = os.open(log, os.O_WRONLY | os.O_APPEND | os.O_CREAT)

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            head = await reader.readuntil(b"\r\n\r\n")
            [length] = [int(line[15:]) for line in head.split(b"\r\n") if line.startswith(b"content-length:")]
            event = json.loads(await reader.readexactly(length))
            trouble = chance.choices([*TROUBLE, None], [*TROUBLE.values(), 100 - sum(TROUBLE.values())])[0]
            match trouble:
                case "hang":
                    await reader.read()
                    return
                case "close":
                    writer.transport.abort()
                    return
                case "fail" | "redirect":
                    status = b"500 Oh" if trouble == "fail" else b"307 There\r\nlocation: http://127.0.0.1:9/"
                    writer.write(b"HTTP/1.1 " + status + b"\r\n\r\n")
                    return
                case "slow":
                    await asyncio.sleep(SLOW_S)
            taken = {"id": event["id"], "chat": event["data"]["chat"], "text": event["data"]["text"]}
            os.write(record, json.dumps(taken).encode() + b"\n")
            if trouble == "lost":  # It has the event, and its answer gets lost.
                writer.transport.abort()
                return
            writer.write(b"HTTP/1.1 204 Taken\r\n\r\n")
            await writer.drain()
        except (OSError, EOFError):
            pass  # The other side, or a kill, was faster.
        finally:
            writer.close()

    server = await asyncio.start_server(connected, "127.0.0.1", port, backlog=512)
    print("ready", flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1]), sys.argv[2], int(sys.argv[3])))
