"""The bounded workspace label."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter

from passferry_runtime.metrics import WorkspaceLabel


def shown(counter: Counter) -> set[str]:
    return {
        sample.labels["workspace_id"]
        for metric in counter.collect()
        for sample in metric.samples
        if sample.name.endswith("_total")
    }


def counter() -> Counter:
    return Counter("sent", "Sent", ["workspace_id", "channel"], registry=CollectorRegistry())


def test_ten_thousand_workspaces_never_show_more_than_the_limit_and_one():
    sent = counter()
    label = WorkspaceLabel(50, metrics=[sent])
    for round_ in range(5):
        for number in range(10_000):
            sent.labels(workspace_id=label(f"w-{number}"), channel="apple").inc()
        assert len(shown(sent)) <= 51, round_
    assert WorkspaceLabel.OTHER in shown(sent)
    assert len(label._counted) <= WorkspaceLabel.MAX_COUNTED


def test_a_busy_workspace_takes_the_place_of_a_quiet_one_and_its_series():
    sent = counter()
    label = WorkspaceLabel(2, metrics=[sent])
    for name in ("quiet", *["steady"] * 500, *["busy"] * 300):
        for channel in ("apple", "google"):
            sent.labels(workspace_id=label(name), channel=channel).inc()
    assert shown(sent) == {"steady", "busy", "_other"}
    assert label("quiet") == "_other"


def test_busy_workspaces_are_found_among_thousands_of_quiet_ones():
    sent = counter()
    label = WorkspaceLabel(5, metrics=[sent])
    for number in range(20_000):
        label(f"quiet-{number % 5_000}")
        label(f"busy-{number % 5}")
    assert {label(f"busy-{number}") for number in range(5)} == {f"busy-{n}" for n in range(5)}


def test_without_metrics_the_first_workspaces_keep_their_places():
    label = WorkspaceLabel(1)
    label("first")
    assert {label("second") for _ in range(1_000)} == {"_other"}
    assert label("first") == "first"


def test_a_limit_of_zero_names_nobody():
    assert WorkspaceLabel(0, metrics=[counter()])("w-1") == "_other"


def test_counts_fade_so_that_yesterdays_traffic_does_not_decide():
    label = WorkspaceLabel(1, metrics=[counter()])
    for _ in range(label.HALVE_EVERY):
        label("yesterday")
    assert label._shown["yesterday"] <= label.HALVE_EVERY // 2 + 1
