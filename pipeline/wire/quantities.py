"""What sensors measure: each quantity's one signed unit, how it is shown, and its names in both languages.

Signed units are names of IANA's SenML registries: primary ones of RFC 8428, RFC 8798 (deg) and ISO 7027-1
(NTU), secondary ones of RFC 8798 and CoRE-1 (mg/l), which need SenML version 26 (RFC 9100, 4). The registry
advises new designs against deg, % and l/s; they stay, because sensors and norms here use them. Where no unit
is registered the quantity is dimensionless ("/") and its name says what it counts.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

SECONDARY_UNITS = frozenset({"ug/m3", "ppm", "hPa", "mm", "mg/l"})


@dataclass(frozen=True, slots=True)
class Quantity:
    """One quantity. A value shown is the signed value times `shown_factor`."""

    name: str
    unit: str
    shown_unit: str
    shown_factor: float
    name_en: str
    name_zh: str
    boolean: bool = False

    @property
    def secondary(self) -> bool:
        """Whether its unit needs SenML version 26."""
        return self.unit in SECONDARY_UNITS


_TABLE = (
    Quantity("pm2_5", "ug/m3", "µg/m³", 1.0, "PM2.5", "细颗粒物(PM2.5)"),
    Quantity("pm10", "ug/m3", "µg/m³", 1.0, "PM10", "可吸入颗粒物(PM10)"),
    Quantity("so2", "ug/m3", "µg/m³", 1.0, "Sulphur dioxide", "二氧化硫"),
    Quantity("no2", "ug/m3", "µg/m³", 1.0, "Nitrogen dioxide", "二氧化氮"),
    Quantity("o3", "ug/m3", "µg/m³", 1.0, "Ozone", "臭氧"),
    Quantity("co", "ug/m3", "mg/m³", 1e-3, "Carbon monoxide", "一氧化碳"),
    Quantity("ch4", "ppm", "ppm", 1.0, "Methane", "甲烷"),
    Quantity("wind_speed", "m/s", "m/s", 1.0, "Wind speed", "风速"),
    Quantity("wind_from", "deg", "°", 1.0, "Wind direction (from)", "风向"),
    Quantity("temperature", "Cel", "°C", 1.0, "Temperature", "温度"),
    Quantity("humidity", "%RH", "%", 1.0, "Relative humidity", "相对湿度"),
    Quantity("pressure", "hPa", "hPa", 1.0, "Air pressure", "气压"),
    Quantity("rain", "mm", "mm", 1.0, "Rain", "降水量"),
    Quantity("ph", "pH", "", 1.0, "pH", "pH值"),
    Quantity("dissolved_oxygen", "mg/l", "mg/L", 1.0, "Dissolved oxygen", "溶解氧"),
    Quantity("ammonia_nitrogen", "mg/l", "mg/L", 1.0, "Ammonia nitrogen", "氨氮"),
    Quantity("permanganate_index", "mg/l", "mg/L", 1.0, "Permanganate index", "高锰酸盐指数"),
    Quantity("total_phosphorus", "mg/l", "mg/L", 1.0, "Total phosphorus", "总磷"),
    Quantity("total_nitrogen", "mg/l", "mg/L", 1.0, "Total nitrogen", "总氮"),
    Quantity("free_chlorine", "mg/l", "mg/L", 1.0, "Free chlorine", "游离氯"),
    Quantity("turbidity", "NTU", "NTU", 1.0, "Turbidity", "浊度"),
    Quantity("conductivity", "S/m", "µS/cm", 1e4, "Conductivity", "电导率"),
    Quantity("flow_river", "m3/s", "m³/s", 1.0, "River flow", "河道流量"),
    Quantity("flow_pipe", "l/s", "L/s", 1.0, "Pipe flow", "管道流量"),
    Quantity("network_pressure", "Pa", "kPa", 1e-3, "Network pressure", "管网压力"),
    Quantity("vehicles", "count", "", 1.0, "Vehicles", "车流量"),
    Quantity("occupancy", "%", "%", 1.0, "Occupancy", "时间占有率"),
    Quantity("speed", "m/s", "km/h", 3.6, "Speed", "平均车速"),
    Quantity("queue", "m", "m", 1.0, "Queue", "排队长度"),
    Quantity("signal_phase", "/", "", 1.0, "Signal phase", "信号相位"),
    Quantity("green_time", "s", "s", 1.0, "Green time", "绿灯时长"),
    Quantity("door", "/", "", 1.0, "Door open", "箱门开启", boolean=True),
    Quantity("light", "lx", "lx", 1.0, "Light", "光照度"),
    Quantity("shock", "m/s2", "m/s²", 1.0, "Shock", "冲击加速度"),
    Quantity("lon", "lon", "°", 1.0, "Longitude", "经度"),
    Quantity("lat", "lat", "°", 1.0, "Latitude", "纬度"),
    Quantity("battery", "%EL", "%", 1.0, "Battery", "电池电量"),
)

QUANTITIES: Mapping[str, Quantity] = MappingProxyType({quantity.name: quantity for quantity in _TABLE})

KINDS: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "air": ("pm2_5", "pm10", "so2", "no2", "o3", "co", "ch4"),
        "weather": ("wind_speed", "wind_from", "temperature", "humidity", "pressure", "rain"),
        "water": (
            "temperature",
            "ph",
            "dissolved_oxygen",
            "ammonia_nitrogen",
            "permanganate_index",
            "total_phosphorus",
            "total_nitrogen",
            "free_chlorine",
            "turbidity",
            "conductivity",
            "flow_river",
            "flow_pipe",
            "network_pressure",
        ),
        "traffic": ("vehicles", "occupancy", "speed", "queue", "signal_phase", "green_time"),
        "cold": ("temperature", "humidity", "door", "light", "shock", "lon", "lat", "battery"),
        "meter": (),  # Reserved: energy.
        "parking": (),  # Reserved.
    }
)
