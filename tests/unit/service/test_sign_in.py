"""Signing in leads back to a page of the dashboard, and nowhere else."""

import pytest

from amoc.service.dashboard.sign_in import way_back


@pytest.mark.parametrize("to", ["/", "/runs/a", "/dashboard/start?scenario=x%2Fy", "/a//b"])
def test_a_page_of_ours(to):
    assert way_back(to) == to


@pytest.mark.parametrize(
    "to", ["", "x", "//e.example", "/\\e.example", "/\t/e.example", "/a\n", "http://e.example"]
)
def test_whatever_a_browser_may_take_for_another_site(to):
    assert way_back(to) == "/"
