"""The bounded form of the campaign: every fault that is quick, once or twice, in an order that a seed decides."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.faults.campaign import Campaign
from tests.faults.mischief import FAULTS
from tests.faults.processes import Processes

pytestmark = [pytest.mark.faults, pytest.mark.timeout(300)]


def test_a_short_campaign_loses_nothing_doubles_nothing_and_leaves_nothing_stuck(tmp_path: Path) -> None:
    stage = Processes(tmp_path)
    try:
        stage.open()
        campaign = Campaign(stage, FAULTS, seed=20, rate=6)
        verdict = campaign.run(45, every=3, most=12)
    finally:
        stage.close()
    assert verdict.clean, verdict.report(campaign.load, seed=20, minutes=1)
    assert verdict.accepted > 50
    assert sum(verdict.faults.values()) >= 5
