"""Which city a command is about: that of a folder, or that of a file of settings, with points in InfluxDB."""

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path

from pipeline.folder import CityFolder
from pipeline.ports import PointReader


@dataclass(frozen=True, slots=True)
class City:
    """A city's folder, and how its points are opened for reading."""

    folder: CityFolder
    open_points: Callable[[], AbstractContextManager[PointReader]]


def city_of(directory: Path, config: Path | None) -> City:
    """Return the city of a file of settings where there is one, and else of a folder.

    Raises:
        InputError: A setting is wrong.
    """
    if config is None:
        from pipeline.edges.sqlite_points import read_points

        folder = CityFolder(directory)
        return City(folder, lambda: read_points(folder.points))
    from pipeline.servers import read_site_points
    from pipeline.settings import load_settings

    settings = load_settings(config).settings
    return City(CityFolder(settings.folder), lambda: read_site_points(settings))
