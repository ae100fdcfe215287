"""An amqtt broker on a loopback port, as a process of its own: `python broker_child.py PORT`."""

import asyncio
import sys

from amqtt.broker import Broker


async def main(port: int) -> None:
    """Serve until killed; one line on stdout says that it is there."""
    config = {
        "listeners": {"default": {"type": "tcp", "bind": f"127.0.0.1:{port}"}},
        "plugins": {"amqtt.plugins.authentication.AnonymousAuthPlugin": {"allow_anonymous": True}},
    }
    broker = Broker(config)
    await broker.start()
    print("ready", flush=True)
    await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1])))
