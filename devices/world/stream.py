"""How ticks travel from the world's process to the simulator: frames of a length (uint32-BE) and CBOR.

The first frame holds the stations, every further one a tick: `[time_s, ambient_cel, ambient_humidity,
bytes]`, the bytes being little-endian float64 in the order of the stations and of each station's
quantities, NaN where there is no value. Names travel once, so a tick of a thousand values is eight
kilobytes.
"""

import struct
from collections.abc import Iterator, Sequence
from dataclasses import astuple
from math import isnan, nan
from typing import Any, BinaryIO

import cbor2

from devices.world.model import BeamEnd, Station, Tick
from pipeline.wire.errors import UnavailableError

FRAME_SIZE_MAX = 16 * 1024 * 1024
_LENGTH = struct.Struct(">I")


def encode_stations(stations: Sequence[Station]) -> bytes:
    """Return the first frame: every station, in the order in which ticks will give their values."""
    return _frame(cbor2.dumps([astuple(station) for station in stations]))


def decode_stations(payload: bytes) -> list[Station]:
    """Return the stations of a first frame's payload.

    Raises:
        UnavailableError: The payload is no list of stations.
    """
    try:
        rows = cbor2.loads(payload)
        return [_station(row) for row in rows]
    except (cbor2.CBORDecodeError, TypeError, IndexError) as error:
        raise UnavailableError("world", "its first frame holds no stations") from error


def encode_tick(tick: Tick, stations: Sequence[Station]) -> bytes:
    """Return a tick's frame."""
    row: list[float] = []
    for station in stations:
        values = tick.values.get(station.name)
        if values is None:
            row.extend([nan] * len(station.quantities))
        else:
            row.extend([values.get(quantity, nan) for quantity in station.quantities])
    return _frame(
        cbor2.dumps(
            [tick.time_s, tick.ambient_cel, tick.ambient_humidity, struct.pack(f"<{len(row)}d", *row)]
        )
    )


def decode_tick(payload: bytes, stations: Sequence[Station]) -> Tick:
    """Return the tick of a frame's payload.

    Raises:
        UnavailableError: The payload is no tick of these stations.
    """
    try:
        time_s, ambient_cel, ambient_humidity, packed = cbor2.loads(payload)
        row = iter(struct.unpack(f"<{sum(len(station.quantities) for station in stations)}d", packed))
    except (cbor2.CBORDecodeError, struct.error, TypeError, ValueError) as error:
        raise UnavailableError("world", "a frame holds no tick of these stations") from error
    values: dict[str, dict[str, float]] = {}
    for station in stations:
        of_station = {q: value for q, value in zip(station.quantities, row, strict=False) if not isnan(value)}
        if of_station:
            values[station.name] = of_station
    return Tick(time_s, values, ambient_cel, ambient_humidity)


def read_frames(source: BinaryIO) -> Iterator[bytes]:
    """Yield the payload of each frame until the stream ends between two frames.

    Raises:
        UnavailableError: It ends inside a frame, or a frame is longer than `FRAME_SIZE_MAX`.
    """
    while head := source.read(_LENGTH.size):
        if len(head) < _LENGTH.size:
            raise UnavailableError("world", "its stream ends inside a frame")
        (size,) = _LENGTH.unpack(head)
        if size > FRAME_SIZE_MAX:
            raise UnavailableError("world", f"a frame of {size} bytes, and {FRAME_SIZE_MAX} is the most")
        payload = source.read(size)
        if len(payload) < size:
            raise UnavailableError("world", "its stream ends inside a frame")
        yield payload


def read_world(source: BinaryIO) -> tuple[list[Station], Iterator[Tick]]:
    """Return the stations of a stream and an iterator over its ticks, which reads as it is asked.

    Raises:
        UnavailableError: The stream is empty or broken; the iterator raises it too.
    """
    frames = read_frames(source)
    first = next(frames, None)
    if first is None:
        raise UnavailableError("world", "it ended before its first frame")
    stations = decode_stations(first)
    return stations, (decode_tick(payload, stations) for payload in frames)


def _station(row: list[Any]) -> Station:
    row[-3] = tuple(row[-3])
    row[-2] = BeamEnd(*row[-2]) if row[-2] else None
    return Station(*row)


def _frame(payload: bytes) -> bytes:
    return _LENGTH.pack(len(payload)) + payload
