"""An amqtt broker on a loopback port, as a process of its own: `python broker_child.py PORT`."""

import asyncio
import sys

from amqtt.broker import Broker


async def main(port: int) -> None:
    """Serve until killed or stdin ends; one line on stdout says that it is there."""
    config = {
        "listeners": {"default": {"type": "tcp", "bind": f"127.0.0.1:{port}"}},
        "plugins": {"amqtt.plugins.authentication.AnonymousAuthPlugin": {"allow_anonymous": True}},
    }
    broker = Broker(config)
    await broker.start()
    print("ready", flush=True)
    await asyncio.to_thread(sys.stdin.read)  # Ends with whoever started it, however that one ends.


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1])))
