"""The table in a terminal of 80 columns, and the live progress."""

import io

import pytest
from rich.console import Console

import leakyrelu
from leakyrelu.report.terminal import LiveProgress, print_comparison


@pytest.fixture(scope="module", params=["classification", "regression"])
def result(request, tmp_path_factory):
    return leakyrelu.compare(
        (list(range(100)), [i % 2 for i in range(100)]),
        kind=request.param,
        activations=["relu", "leaky_relu:0.01"],
        seeds=2,
        depth=2,
        width=8,
        epochs=2,
        output=tmp_path_factory.mktemp("terminal"),
        progress=False,
    )


def test_a_row_is_a_line(result):
    result.task.notes.append("column 'a[bold]b'")
    stream = io.StringIO()
    print_comparison(result, Console(file=stream, width=80))
    text = stream.getvalue()
    rows = [line for line in text.splitlines() if line.startswith((" relu", " leaky_relu:0.01"))]
    assert len(rows) == 2
    assert all(row.rstrip().endswith(" s") for row in rows)
    assert " ".join(result.verdict.split()) in " ".join(text.split())
    assert "a[bold]b" in text  # no markup of rich


def test_progress_counts_stored_and_finished_trials(result):
    batch = result.settings.batches(1, result.task.outputs)[0]
    with LiveProgress(result.settings) as progress:
        progress.resumed(3)
        progress.epoch_finished(batch, 1, 0.5)
        assert progress._progress.tasks[0].fields["stored"] == 3
        progress.batch_finished(batch, [None] * len(batch))
        (bar,) = progress._progress.tasks
        assert bar.fields["trials"] == 2 * 2 * 3
        assert bar.fields["stored"] == 3 + len(batch)
        assert bar.completed / bar.total == (3 + len(batch)) / 12
