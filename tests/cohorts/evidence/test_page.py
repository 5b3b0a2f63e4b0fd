"""What is said of misses is of rows that are missed."""

import json
import sys

import pytest

from cohorts.evidence import page


@pytest.mark.parametrize("missed", [["A-1"], ["A-1", "A-2", "A-3"]])
def test_a_text_on_a_row_that_is_met_is_told(tmp_path, monkeypatch, missed):
    run, docs = tmp_path / "run", tmp_path / "docs" / "model" / "evidence.md"
    for folder in (run / "plots", docs.parent, docs.parents[1] / "images"):
        folder.mkdir(parents=True)
    (run / "evidence.json").write_text(json.dumps({"missed": missed}))
    docs.write_text("<!-- evidence: begin --><!-- evidence: end -->")
    monkeypatch.setattr(page, "discussed", lambda: dict.fromkeys(("A-1", "A-2", "A-3"), "why"))
    monkeypatch.setattr(page, "written", lambda _: "scores")
    monkeypatch.setattr(sys, "argv", ["page", str(run), "--page", str(docs)])
    if len(missed) == 3:
        page.main()
    else:
        with pytest.raises(SystemExit, match=r"2 rows .* A-2, A-3"):
            page.main()
    assert "scores" in docs.read_text()
