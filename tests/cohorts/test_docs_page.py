"""Text between the marks of a page."""

import pytest

from cohorts.docs_page import put
from twin.errors import UnusableInput

BEGIN, END = "<!-- made: begin -->", "<!-- made: end -->"


def test_only_what_is_between_the_marks_changes(tmp_path):
    page = tmp_path / "page.md"
    page.write_text(f"before\n{BEGIN}\nan earlier run, µ\n{END}\nafter\n", encoding="utf-8")
    for _ in range(2):
        put(page, "made", "SD ± 1\n")
        assert page.read_text(encoding="utf-8") == f"before\n{BEGIN}\n\nSD ± 1\n\n{END}\nafter\n"


@pytest.mark.parametrize(
    "text", ["", BEGIN, END, f"{END}\n{BEGIN}", f"{BEGIN}\n{BEGIN}\n{END}", f"{BEGIN}{END}{END}"]
)
def test_a_page_without_its_marks_is_left_as_it_is(tmp_path, text):
    page = tmp_path / "page.md"
    page.write_text(text)
    with pytest.raises(UnusableInput, match="made: begin"):
        put(page, "made", "new")
    assert page.read_text() == text
