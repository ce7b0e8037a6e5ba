"""The words for schedules in Chinese."""

from __future__ import annotations

from collections.abc import Sequence

from tasks.cron_pattern import LAST
from tasks.cron_phrases import is_span, offset_name
from tasks.occurrence import Touch


class Chinese:
    """Schedules in Chinese."""

    every_day = "每天"
    _weekdays = ("周日", "周一", "周二", "周三", "周四", "周五", "周六")
    _ordinals = ("最后一个", "第一个", "第二个", "第三个", "第四个", "第五个")

    def dates(self, days: Sequence[int], months: Sequence[int]) -> str:
        """Days of the month; LAST is the last day."""
        named = "、".join("最后一天" if day == LAST else f"{day} 日" for day in days)
        if not months:
            return f"每月{'' if days[0] == LAST else ' '}{named}"
        joint = ("" if len(months) == 1 else "的") + " "
        if days[0] == LAST:
            joint = "的"
        return f"{self._of(months)}{joint}{named}"

    def nearest(self, day: int, months: Sequence[int]) -> str:
        """The working day nearest to a day of the month."""
        return f"{self._of(months)}离 {day} 日最近的工作日"

    def nth(self, pairs: Sequence[tuple[int, int]], months: Sequence[int]) -> str:
        """Numbered weekdays of the month."""
        named = "、".join(f"{self._ordinals[number]}{self._weekdays[weekday]}" for weekday, number in pairs)
        return f"{self._of(months)}{'的' if months else ''}{named}"

    def weekdays(self, days: Sequence[int], months: Sequence[int]) -> str:
        """Days of the week."""
        workweek = list(days) == [1, 2, 3, 4, 5]
        named = "每个工作日" if workweek else "每" + "、".join(self._weekdays[day] for day in days)
        return f"{self._of(months)}的{named}" if months else named

    def all_days_of(self, months: Sequence[int]) -> str:
        """Every day of some months."""
        return f"{self._of(months)}的每一天"

    def either(self, parts: Sequence[str]) -> str:
        """Days that one of the parts names."""
        return "以及".join(parts)

    def every_seconds(self, step: int, first: int) -> str:
        """Every so many seconds."""
        return _mei(step, "秒") + (f"（从每分钟第 {first} 秒起）" if first else "")

    def every_minutes(self, step: int, first: int) -> str:
        """Every so many minutes."""
        return _mei(step, "分钟") + (f"（从每小时第 {first} 分起）" if first else "")

    def past_every_hour(self, minutes: Sequence[int]) -> str:
        """At these minutes of every hour."""
        if list(minutes) == [0]:
            return "每小时整点"
        return f"每小时的{'、'.join(f'第 {minute} 分' for minute in minutes)}"

    def every_hours(self, step: int, first: str | None) -> str:
        """Every so many hours."""
        return _mei(step, "小时") + (f"（从 {first} 起）" if first else "")

    def between(self, rhythm: str, first: str, last: str) -> str:
        """A rhythm from the first to the last time of day."""
        return f"{first} 至 {last} {rhythm}"

    def at_times(self, days: str, times: Sequence[str], zone: str) -> str:
        """The sentence for times of day."""
        return f"{days} {'、'.join(times)}（{self._zone(zone)}）"

    def repeating(self, rhythm: str, days: str, zone: str) -> str:
        """The sentence for a rhythm."""
        return f"{days}，{rhythm}（{self._zone(zone)}）" if days else f"{rhythm}（{self._zone(zone)}）"

    def generic(self, expression: str, zone: str) -> str:
        """The sentence for everything else."""
        return f"每当时钟符合 {expression}（{self._zone(zone)}）"

    def touched(self, touch: Touch, wall: str) -> str:
        """What a change of the clock does to the time `wall`."""
        return {
            Touch.MOVED: f"因时钟拨快，{wall} 不存在，将在跳过的时段结束时立即运行。",
            Touch.FIRST_ONLY: f"因时钟拨慢，{wall} 出现两次，只在第一次运行。",
            Touch.BOTH: f"因时钟拨慢，{wall} 出现两次，两次都运行。",
        }[touch]

    def _of(self, months: Sequence[int]) -> str:
        if not months:
            return "每月"
        if is_span(months):
            return f"每年 {months[0]} 月至 {months[-1]} 月"
        return "每年 " + "、".join(f"{month} 月" for month in months)

    def _zone(self, zone: str) -> str:
        return offset_name(zone) or _CHINESE_CITIES.get(zone, zone)


_CHINESE_CITIES = {
    "Africa/Cairo": "开罗",
    "Africa/Johannesburg": "约翰内斯堡",
    "America/Chicago": "芝加哥",
    "America/Los_Angeles": "洛杉矶",
    "America/New_York": "纽约",
    "America/Sao_Paulo": "圣保罗",
    "America/Toronto": "多伦多",
    "America/Vancouver": "温哥华",
    "Asia/Bangkok": "曼谷",
    "Asia/Chongqing": "重庆",
    "Asia/Dubai": "迪拜",
    "Asia/Hong_Kong": "香港",
    "Asia/Jakarta": "雅加达",
    "Asia/Kolkata": "加尔各答",
    "Asia/Kuala_Lumpur": "吉隆坡",
    "Asia/Macau": "澳门",
    "Asia/Seoul": "首尔",
    "Asia/Shanghai": "上海",
    "Asia/Singapore": "新加坡",
    "Asia/Taipei": "台北",
    "Asia/Tokyo": "东京",
    "Asia/Urumqi": "乌鲁木齐",
    "Australia/Melbourne": "墨尔本",
    "Australia/Sydney": "悉尼",
    "Europe/Amsterdam": "阿姆斯特丹",
    "Europe/Berlin": "柏林",
    "Europe/London": "伦敦",
    "Europe/Madrid": "马德里",
    "Europe/Moscow": "莫斯科",
    "Europe/Paris": "巴黎",
    "Europe/Rome": "罗马",
    "Europe/Zurich": "苏黎世",
    "Pacific/Auckland": "奥克兰",
    "Pacific/Honolulu": "檀香山",
}


def _mei(step: int, unit: str) -> str:
    return f"每{unit}" if step == 1 else f"每 {step} {unit}"
