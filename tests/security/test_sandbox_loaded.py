"""What Python loads only when it is first needed is there beforehand: a run can open no file."""

from __future__ import annotations

import pytest

from tasks.sandbox import Sandbox
from tests.security.attempts import attempt


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("import collections\ndef f(): return collections.Counter('abca').most_common(1)", [["a", 2]]),
        (
            "import datetime\ndef f(): return datetime.datetime.strptime('5 Jan 2024', '%d %b %Y')",
            "2024-01-05T00:00:00",
        ),
        ("import datetime\ndef f(): return datetime.date(2024, 1, 5).strftime('%A %x')", "Friday 01/05/24"),
        ("import random\ndef f(): return 0 <= random.SystemRandom().random() < 1", True),
        ("import re\ndef f(): return re.findall('[[a]', '1a[')  # a FutureWarning", ["a", "["]),
        ("def f():\n    变量 = 1\n    return 变量", 1),
        ("def f(): return '\\N{BULLET}'", "•"),
        ("def f(): return '\\d'  # a DeprecationWarning", "\\d"),
        ("def f(): return 1 is 1  # a SyntaxWarning", True),
        ("def f(): return 'é'.encode('cp1252').hex()", "e9"),
        ("def f(): return 'é'.encode('utf-8-sig').hex()", "efbbbfc3a9"),
        ("def f(): return 'é'.encode('utf-32-le').hex()", "e9000000"),
        ("def f(): return bytes.fromhex('d6d0').decode('gbk')", "中"),
        ("def f(): return bytes.fromhex('d6d0').decode('gb18030')", "中"),
        ("def f(): return 'bücher.de'.encode('idna').decode()", "xn--bcher-kva.de"),
        ("def f(): return format(1234567, ',') + format(1.5, 'n')", "1,234,5671.5"),
    ],
)
def test_what_is_loaded_late_elsewhere_works(plain: Sandbox, source: str, expected: object) -> None:
    assert attempt(plain, source).value == expected


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("import uuid\ndef f(): return uuid.uuid5(uuid.NAMESPACE_DNS, 'a').hex[:8]", "4f3f2898"),
        ("import uuid\ndef f(): return len(str(uuid.uuid4()))", 36),
        ("import statistics\ndef f(): return statistics.NormalDist().samples(1, seed=1)", [1.2881847531554629]),
        ("import hashlib\ndef f(): return hashlib.new('sha3_256', b'a').hexdigest()[:8]", "80084bf2"),
        ("import hashlib\ndef f(): return hashlib.blake2b(b'a').hexdigest()[:8]", "333fcb4e"),
        ("import decimal\ndef f(): return format(decimal.Decimal('1234.5'), ',.2f')", "1,234.50"),
        ("import zoneinfo, datetime\ndef f():\n    zone = zoneinfo.ZoneInfo('Asia/Shanghai')\n"
         "    return datetime.datetime(2024, 7, 1, tzinfo=zone)", "2024-07-01T00:00:00+08:00"),
    ],
)  # fmt: skip
def test_so_it_does_in_the_modules_that_may_be_added(everything: Sandbox, source: str, expected: object) -> None:
    assert attempt(everything, source).value == expected


def test_a_codec_that_is_not_loaded_is_an_error_like_any_other(plain: Sandbox) -> None:
    failure = attempt(plain, "def f(): return 'a'.encode('cp037')").failure
    assert failure.message == "LookupError: unknown encoding: cp037"
