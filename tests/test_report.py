"""Accounts add up."""

from __future__ import annotations

import pytest

from nvpcodec.report import Accounts, summarise


def test_a_file_is_the_sum_of_its_parts() -> None:
    regions = [
        Accounts(100.5, 3.0, 108, 8, {"network": 1.0, "stack": 0.5}),
        Accounts(side_bits=64, seconds={"network": 0.25}),
        Accounts(),
    ]
    assert regions[0].coder_bits == 4.5
    report = summarise(10, 40, regions)
    assert report.dims == 10
    assert report.file_bits == 320
    assert report.container_bits == 320 - 108 - 72
    parts = report.theory_bits + report.coder_bits + report.initial_bits
    assert parts + report.side_bits + report.container_bits == pytest.approx(report.file_bits)
    assert report.seconds == {"network": 1.25, "stack": 0.5}
