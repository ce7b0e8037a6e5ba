"""The bounded form of the campaign against containers: killed, paused, restarted, crashed and unplugged."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.containers import composed
from tests.faults.campaign import Campaign
from tests.faults.container_mischief import CONTAINER_FAULTS
from tests.faults.deployment import Deployment

pytestmark = [pytest.mark.containers, pytest.mark.faults, pytest.mark.timeout(900)]


def test_a_deployment_loses_nothing_doubles_nothing_and_leaves_nothing_stuck(tmp_path: Path) -> None:
    try:
        composed.spelling()
    except LookupError as why:
        pytest.skip(str(why))
    stage = Deployment(tmp_path)
    try:
        stage.open()
        campaign = Campaign(stage, CONTAINER_FAULTS, seed=7, rate=4)
        verdict = campaign.run(60, every=4, most=12)
    finally:
        stage.close()
    assert verdict.clean, verdict.report(campaign.load, seed=7, minutes=1, stage="compose")
    assert verdict.accepted > 50
    assert sum(verdict.faults.values()) >= 5
