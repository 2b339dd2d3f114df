"""Signing in redirects to a page of the dashboard, and nowhere else."""

import pytest

from amoc.service.dashboard.pages import way_back


@pytest.mark.parametrize("to", ["/", "/runs/a", "/dashboard/start?scenario=x%2Fy", "/a//b"])
def test_a_dashboard_page_is_kept_as_the_redirect_target(to):
    assert way_back(to) == to


@pytest.mark.parametrize(
    "to", ["", "x", "//e.example", "/\\e.example", "/\t/e.example", "/a\n", "http://e.example"]
)
def test_a_target_a_browser_may_treat_as_another_site_becomes_the_root(to):
    assert way_back(to) == "/"
