"""What a report says in its own words, in both languages; names, places and numbers are the shipment's."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Literal, TypeAlias

from pipeline.shipping.verdict import Verdict
from pipeline.wire.quantities import QUANTITIES

Language: TypeAlias = Literal["en", "zh"]
LANGUAGES: tuple[Language, ...] = ("en", "zh")

_TEXTS: Mapping[str, tuple[str, str]] = MappingProxyType(
    {
        "title": ("Shipment report", "货运报告"),
        "in_limits": ("In limits", "符合限值"),
        "breach": ("Breach", "超出限值"),
        "undetermined": ("Undetermined", "无法判定"),
        "says in_limits": (
            "Every rule was kept, even where nothing was read.",
            "所有限值均已遵守，数据缺口的最坏情形也不例外。",
        ),
        "says breach": (
            "What was read proves that a limit was broken.",
            "记录数据证明已超出限值。",
        ),
        "says undetermined": (
            "What is missing decides: readings neither prove a breach nor exclude one.",
            "结论取决于缺失的数据：现有记录既不能证明超限，也不能排除超限。",
        ),
        "summary": (
            "{rule}: {proven} proven, {possible} possible; allowed: {allowed}",
            "{rule}：已证实 {proven}，最多可能 {possible}；允许：{allowed}",
        ),
        "list": (", ", "、"),
        "brackets": ("{} ({})", "{}（{}）"),
        "goods": ("Goods", "货物"),
        "shipper": ("Shipper", "发货方"),
        "consignee": ("Consignee", "收货方"),
        "carriers": ("Carriers", "承运方"),
        "loggers": ("Loggers", "记录仪"),
        "limits": ("Limits", "限值"),
        "trip": ("Trip (UTC)", "行程（UTC）"),
        "state": ("State", "状态"),
        "judged": ("Judged (UTC)", "判定时间（UTC）"),
        "judged by": ("Judged by", "判定方"),
        "mean kinetic": ("Mean kinetic temperature", "平均动力学温度"),
        "lot": ("lot", "批号"),
        "serial": ("serial", "序列号"),
        "readings": ("readings", "条记录"),
        "created": ("created", "已创建"),
        "committed": ("limits committed", "限值已承诺"),
        "held": ("on its way", "运输中"),
        "offered": ("offered", "待交接"),
        "delivered": ("delivered", "已送达"),
        "released": ("released", "已放行"),
        "rejected": ("rejected", "已拒收"),
        "chart": ("What was recorded", "记录曲线"),
        "map": ("Route", "路线图"),
        "legend out": ("out of limits", "超限"),
        "legend may": ("may have been", "可能超限"),
        "legend gap": ("nothing known", "数据缺口"),
        "planned": ("planned", "计划"),
        "travelled": ("travelled", "实际"),
        "rules": ("Rules", "判定规则"),
        "rule": ("Rule", "规则"),
        "allowed": ("Allowed", "允许"),
        "proven": ("Proven", "已证实"),
        "possible": ("Possible", "最多可能"),
        "verdict": ("Verdict", "结论"),
        "at one time": ("at one time", "单次"),
        "together": ("together", "累计"),
        "not at all": ("not at all", "不允许"),
        "budget": ("stability budget", "稳定性预算"),
        "freeze-thaw": ("freeze-thaw cycles", "冻融次数"),
        "unbounded": ("unbounded", "无上限"),
        "notice": ("notice only", "仅提示"),
        "excursions": ("Excursions", "超限事件"),
        "begin": ("From (UTC)", "开始（UTC）"),
        "duration": ("Proven to possible", "已证实～最多"),
        "peak": ("Peak", "极值"),
        "holder": ("Held by", "当时持有方"),
        "place": ("Place", "地点"),
        "not ended": ("no reading shows its end", "无记录证明已结束"),
        "gaps": ("Gaps", "数据缺口"),
        "length": ("Length", "时长"),
        "missing": ("Missing", "缺失"),
        "sequences": ("sequences", "序号"),
        "new epoch": ("the logger began anew", "记录仪重新启动"),
        "late": ("no reading in time", "未按时记录"),
        "quantity": ("Quantity", "测量量"),
        "custody": ("Custody", "交接链"),
        "time": ("Time (UTC)", "时间（UTC）"),
        "step": ("Step", "步骤"),
        "who": ("Signed by", "签署方"),
        "statement": ("Statement", "声明"),
        "did loaded": ("loaded", "装货"),
        "did offered": ("offered to {}, no answer yet", "提出交接给 {}，尚无答复"),
        "did replaced": ("offered to {}, and then to another", "提出交接给 {}，后改交他方"),
        "did accepted": ("handed over to {}", "交接给 {}"),
        "did refused": ("{} did not take it: {}", "{} 拒绝接收：{}"),
        "did loggers": ("loggers changed", "更换记录仪"),
        "did delivered": ("delivered", "送达"),
        "did released": ("released", "放行"),
        "did rejected": ("rejected: {}", "拒收：{}"),
        "did created": ("created", "创建"),
        "did limits": ("committed limits", "承诺限值"),
        "none": ("none", "无"),
        "more": ("and {} more in the evidence", "另有{}项，见证据文件"),
        "evidence": ("Evidence", "证据"),
        "log": ("Log", "日志"),
        "root": ("Root at size {}", "树根（规模 {}）"),
        "file": ("Evidence file, SHA-256", "证据文件 SHA-256"),
        "profile": ("Limits, SHA-256", "限值文件 SHA-256"),
        "verdict leaf": ("Verdict in the log", "日志中的判定"),
        "link code": ("Goods, with the evidence's hash", "货物链接，附证据哈希"),
        "verdict code": ("The signed verdict: verifies offline", "已签名的判定：可离线验证"),
        "no code": ("Nobody has signed a verdict yet.", "尚无已签名的判定。"),
        "footer": (
            "Made from signed statements in a public log. To judge them again: cityproof verify",
            "本报告由公开日志中的签名声明生成，可用 cityproof verify 重新判定。",
        ),
        "d": ("d", "天"),
        "h": ("h", "小时"),
        "min": ("min", "分"),
        "s": ("s", "秒"),
        "to": ("to", "至"),
    }
)


def text(key: str, language: Language) -> str:
    """Return a text in a language."""
    return _TEXTS[key][LANGUAGES.index(language)]


def quantity_name(name: str, language: Language) -> str:
    """Return a quantity's name."""
    quantity = QUANTITIES[name]
    return quantity.name_zh if language == "zh" else quantity.name_en


def verdict_word(verdict: Verdict, language: Language) -> str:
    """Return a verdict as people read it."""
    return text(verdict.value, language)


def duration_text(time_us: int, language: Language) -> str:
    """Return a duration, such as `1 d 2 h`; below a minute in seconds."""
    seconds = round(time_us / 1_000_000)
    if seconds < 60:
        return f"{seconds} {text('s', language)}"
    minutes = seconds // 60
    parts = ((minutes // 1440, "d"), (minutes // 60 % 24, "h"), (minutes % 60, "min"), (seconds % 60, "s"))
    return " ".join(f"{number} {text(unit, language)}" for number, unit in parts if number)
