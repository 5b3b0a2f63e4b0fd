"""Pictures of the evidence as files."""

from matplotlib.figure import Figure

from cohorts.evidence.plots import save


def test_text_stays_text_and_files_are_the_same_every_time(tmp_path):
    for name in ("a.svg", "b.svg"):
        figure = Figure()
        figure.subplots().plot([0.0, 1.0], [0.0, 1.0], "o", label="half bands")
        figure.legend()
        save(figure, tmp_path / name)
    assert ">half bands</text>" in (tmp_path / "a.svg").read_text()
    assert (tmp_path / "a.svg").read_bytes() == (tmp_path / "b.svg").read_bytes()
