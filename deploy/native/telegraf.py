"""Telegraf, built into the cache for `cityproof bench pipeline --compare telegraf`.

    python deploy/native/telegraf.py

Only what the bench needs of it: MQTT in, line protocol, InfluxDB out. It takes Go and half a minute, once.
"""

import json
import sys

from servers import CACHE, StackError, call, find_program, fresh

MODULE = "github.com/influxdata/telegraf"
VERSION = "v1.37.2"
SUM = "h1:mYr0I/suEw9+UM4KrCFuYuzJuq/e99cINniIwqO6ykw="
TAGS = "custom,inputs.mqtt_consumer,outputs.influxdb_v2,parsers.influx"
TELEGRAF = CACHE / "telegraf-1.37.2" / "telegraf"


def main() -> int:
    if TELEGRAF.is_file():
        return 0
    try:
        provision()
    except StackError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


def provision() -> None:
    """Build it. A crash leaves no folder under its final name."""
    go = find_program("go", "install Go 1.25 or newer")
    folder = fresh(TELEGRAF.parent)
    module = json.loads(call([go, "mod", "download", "-json", f"{MODULE}@{VERSION}"], cwd=folder))
    if module["Sum"] != SUM:
        raise StackError(f"Telegraf's source has the hash {module['Sum']}, not {SUM}")
    print("Building Telegraf 1.37.2", flush=True)
    call([go, "install", "-tags", TAGS, f"{MODULE}/cmd/telegraf@{VERSION}"], env={"GOBIN": str(folder)})
    folder.rename(TELEGRAF.parent)


if __name__ == "__main__":
    sys.exit(main())
