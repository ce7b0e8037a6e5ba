"""The documents are true: each is compared with the code that it speaks of."""

from __future__ import annotations

import ast
import json
import re
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import annotated_types
import pytest
from pydantic import SecretStr
from pydantic.fields import FieldInfo

from api.representation import task_detail, task_summary
from config.settings import SECRET_NAMES, Settings, load
from docs import generate
from tasks.base_tasks import Spec, build_kinds
from tasks.errors import InvalidTask
from tasks.model import Run, Status
from tasks.submission import RetryFields, Submission
from tests.make import NOW, make_settings, make_task
from tests.parser import make_parser

ROOT = Path(__file__).resolve().parents[1]
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])
GUIDE = ROOT / "tests" / "data" / "guide.zh.md"
CODE_BLOCK = re.compile(r"^```(\w*)\n(.*?)^```$", re.DOTALL | re.MULTILINE)
