"""What is said of the posts that drivers come from."""

from __future__ import annotations

import pytest

from dashboard import drivers


@pytest.mark.parametrize(
    ("usual", "days", "said"),
    [
        (1_204, 7, "compared with 1,204 posts of the 7 days before."),
        (90, 1, "compared with 90 posts of the 1 day before."),
        (90, 0, "compared with 90 posts of the same day, earlier."),
        (0, 0, "No earlier days are there to compare with, so shares are shares of the posts."),
    ],
)
def test_it_is_said_what_the_posts_are_compared_with(usual: int, days: int, said: str) -> None:
    assert drivers._explain(412, 412, usual, days, (1.0, 1.0)).endswith(said)
