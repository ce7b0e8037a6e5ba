from __future__ import annotations

import pytest

from tasks.cron_text import describe, explain
from tasks.schedule import Cron, Remark, Touch

SENTENCES = [
    ("30 2 * * 1-5", "America/New_York", "every weekday at 02:30, New York", "每个工作日 02:30（纽约）"),
    ("0 0 * * *", "Asia/Shanghai", "every day at 00:00, Shanghai", "每天 00:00（上海）"),
    ("0 9,13,18 * * *", "UTC", "every day at 09:00, 13:00 and 18:00, UTC", "每天 09:00、13:00、18:00（UTC）"),
    ("15 30 8 * * *", "UTC", "every day at 08:30:15, UTC", "每天 08:30:15（UTC）"),
    ("0 12 * * 0,6", "UTC", "every Saturday and Sunday at 12:00, UTC", "每周六、周日 12:00（UTC）"),
    ("0 0 * * MON", "Etc/GMT-8", "every Monday at 00:00, UTC+8", "每周一 00:00（UTC+8）"),
    ("* * * * *", "UTC", "every minute, UTC", "每分钟（UTC）"),
    ("* * * * * *", "UTC", "every second, UTC", "每秒（UTC）"),
    ("*/10 * * * * *", "UTC", "every 10 seconds, UTC", "每 10 秒（UTC）"),
    ("*/15 * * * *", "UTC", "every 15 minutes, UTC", "每 15 分钟（UTC）"),
    (
        "5/15 * * * *",
        "UTC",
        "every 15 minutes from minute 5 of each hour, UTC",
        "每 15 分钟（从每小时第 5 分起）（UTC）",
    ),
    ("@hourly", "UTC", "every hour on the hour, UTC", "每小时整点（UTC）"),
    ("10,25 * * * *", "UTC", "every hour at :10 and :25, UTC", "每小时的第 10 分、第 25 分（UTC）"),
    ("15 1/2 * * *", "Asia/Tokyo", "every 2 hours from 01:15, Tokyo", "每 2 小时（从 01:15 起）（东京）"),
    ("0 9-17 * * *", "Europe/London", "every hour from 09:00 to 17:00, London", "09:00 至 17:00 每小时（伦敦）"),
    (
        "*/15 9-17 * * 1-5",
        "Asia/Shanghai",
        "every 15 minutes from 09:00 to 17:45, every weekday, Shanghai",
        "每个工作日，09:00 至 17:45 每 15 分钟（上海）",
    ),
    ("@monthly", "UTC", "on the 1st of every month at 00:00, UTC", "每月 1 日 00:00（UTC）"),
    ("@yearly", "UTC", "every year on 1 January at 00:00, UTC", "每年 1 月 1 日 00:00（UTC）"),
    (
        "0 0 2,3,11,22 * *",
        "UTC",
        "on the 2nd, the 3rd, the 11th and the 22nd of every month at 00:00, UTC",
        "每月 2 日、3 日、11 日、22 日 00:00（UTC）",
    ),
    (
        "0 0 15,L 1,7 *",
        "UTC",
        "on the 15th and the last day of January and July at 00:00, UTC",
        "每年 1 月、7 月的 15 日、最后一天 00:00（UTC）",
    ),
    ("0 0 L * *", "UTC", "on the last day of every month at 00:00, UTC", "每月最后一天 00:00（UTC）"),
    (
        "0 0 15W * *",
        "UTC",
        "on the weekday nearest the 15th of every month at 00:00, UTC",
        "每月离 15 日最近的工作日 00:00（UTC）",
    ),
    (
        "0 0 * * L5,MON#1",
        "UTC",
        "on the first Monday and the last Friday of every month at 00:00, UTC",
        "每月第一个周一、最后一个周五 00:00（UTC）",
    ),
    (
        "0 0 1 * MON",
        "UTC",
        "on the 1st of every month and every Monday at 00:00, UTC",
        "每月 1 日以及每周一 00:00（UTC）",
    ),
    ("0 0 1 * 0-6", "UTC", "every day at 00:00, UTC", "每天 00:00（UTC）"),
    (
        "0 12 * 6-8 *",
        "Europe/Kyiv",
        "every day from June to August at 12:00, Kyiv",
        "每年 6 月至 8 月的每一天 12:00（Europe/Kyiv）",
    ),
    (
        "0 12 1 6-8 *",
        "UTC",
        "on the 1st of each month from June to August at 12:00, UTC",
        "每年 6 月至 8 月的 1 日 12:00（UTC）",
    ),
    ("*/7 * * * *", "UTC", "whenever the clock matches */7 * * * *, UTC", "每当时钟符合 */7 * * * *（UTC）"),
    ("0 0 */3 * *", "UTC", "whenever the clock matches 0 0 */3 * *, UTC", "每当时钟符合 0 0 */3 * *（UTC）"),
    ("30 */5 * * * *", "UTC", "whenever the clock matches 30 */5 * * * *, UTC", "每当时钟符合 30 */5 * * * *（UTC）"),
]


@pytest.mark.parametrize(("expression", "zone", "english", "chinese"), SENTENCES)
def test_a_schedule_is_a_sentence(expression: str, zone: str, english: str, chinese: str) -> None:
    cron = Cron(expression=expression, zone=zone, key="task-1")
    assert describe(cron, "en") == english
    assert describe(cron, "zh") == chinese


def test_h_is_described_with_the_time_it_stands_for() -> None:
    cron = Cron(expression="H H * * *", key="task-1")
    (hour,), (minute,) = cron.pattern.hours, cron.pattern.minutes
    assert describe(cron, "en") == f"every day at {hour:02}:{minute:02}, UTC"


@pytest.mark.parametrize("touch", Touch)
def test_every_touch_of_a_jump_is_explained_in_both_languages(touch: Touch) -> None:
    remark = Remark(moment=0, touch=touch, wall="2026-03-08 02:30:00")
    english, chinese = explain(remark, "en"), explain(remark, "zh")
    assert english.startswith("2026-03-08 02:30:00 ")
    assert "2026-03-08 02:30:00 " in chinese
    assert {
        explain(Remark(moment=0, touch=other, wall=remark.wall), "zh") for other in Touch if other != touch
    }.isdisjoint({chinese})
