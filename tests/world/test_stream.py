"""The pipe between world and simulator: what goes in comes out, and what breaks off is named."""

import io
import struct

import pytest

from devices.world.model import BeamEnd, Station, Tick
from devices.world.stream import FRAME_SIZE_MAX, encode_stations, encode_tick, read_world
from pipeline.wire.errors import UnavailableError

MAST = Station(
    name="weather-1",
    kind="weather",
    issuer="urn:dev:ops:32473-weather-0001",
    subject="weather/weather-1",
    department="ecology",
    area="centre",
    longitude=119.01,
    latitude=31.51,
    height_m=10.0,
    x_m=900.0,
    y_m=1100.0,
    interval_s=60.0,
    quantities=("wind_speed", "wind_from"),
)
BEAM = Station(
    name="beam-1",
    kind="air",
    issuer="urn:dev:ops:32473-air-0049",
    subject="beam/beam-1",
    department="ecology",
    area="industrial-park",
    longitude=119.04,
    latitude=31.52,
    height_m=4.0,
    x_m=4000.0,
    y_m=2500.0,
    interval_s=60.0,
    quantities=("ch4",),
    beam_end=BeamEnd(119.05, 31.53, 5.0, 4500.0, 2600.0),
    drift=8.0,
)


def stream(*frames: bytes) -> io.BytesIO:
    return io.BytesIO(b"".join(frames))


def test_stations_and_ticks_come_out_as_they_went_in() -> None:
    """Every field of a station and every value of a tick survives the pipe, to the last bit."""
    ticks = [
        Tick(
            60.0,
            {"weather-1": {"wind_speed": 0.1 + 0.2, "wind_from": 359.9}, "beam-1": {"ch4": 1.98}},
            7.3,
            81.0,
        ),
        Tick(120.0, {"weather-1": {"wind_speed": -0.0, "wind_from": 1e-300}, "beam-1": {"ch4": 2.0}}),
    ]
    frames = [encode_stations([MAST, BEAM]), *(encode_tick(tick, [MAST, BEAM]) for tick in ticks)]

    stations, received = read_world(stream(*frames))

    assert stations == [MAST, BEAM]
    assert list(received) == ticks


def test_what_is_not_measured_is_absent_at_the_other_end() -> None:
    """A dead station and a quantity without a value are left out, not given as a number."""
    tick = Tick(60.0, {"weather-1": {"wind_from": 90.0}})
    _, received = read_world(stream(encode_stations([MAST, BEAM]), encode_tick(tick, [MAST, BEAM])))
    assert next(received).values == {"weather-1": {"wind_from": 90.0}}


def test_ticks_are_read_as_they_are_asked_for() -> None:
    """A slow reader makes the world wait: no tick is read before it is wanted."""
    source = stream(encode_stations([MAST]), *[encode_tick(Tick(60.0, {}), [MAST])] * 3)
    _, received = read_world(source)
    next(received)
    frame = len(encode_tick(Tick(60.0, {}), [MAST]))
    assert len(source.getbuffer()) - source.tell() == 2 * frame


@pytest.mark.parametrize(
    ("source", "said"),
    [
        (b"", "ended before its first frame"),
        (encode_stations([MAST])[:-1], "ends inside a frame"),
        (encode_stations([MAST])[:2], "ends inside a frame"),
        (struct.pack(">I", FRAME_SIZE_MAX + 1), "is the most"),
        (struct.pack(">I", 1) + b"\x05", "no stations"),
        (struct.pack(">I", 2) + b"\x81\x05", "no stations"),
        (struct.pack(">I", 1) + b"\xff", "no stations"),
    ],
    ids=["empty", "cut", "cut-in-length", "huge", "number", "wrong-rows", "no-cbor"],
)
def test_a_broken_stream_is_named(source: bytes, said: str) -> None:
    """Whatever is not a stream of the world's is refused as unavailable, and says what was wrong."""
    with pytest.raises(UnavailableError, match=said):
        read_world(io.BytesIO(source))


def test_a_tick_of_other_stations_is_refused() -> None:
    """A tick with another number of values than its stations have is no tick."""
    _, received = read_world(stream(encode_stations([MAST, BEAM]), encode_tick(Tick(60.0, {}), [MAST])))
    with pytest.raises(UnavailableError, match="no tick of these stations"):
        next(received)
