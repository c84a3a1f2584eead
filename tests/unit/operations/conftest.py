from __future__ import annotations

from collections.abc import Iterator

import pytest


@pytest.fixture
def pyplot() -> Iterator[object]:
    """Return matplotlib.pyplot, whose figures are shown nowhere; all are closed in the end."""
    import matplotlib as mpl

    mpl.use("template")
    import matplotlib.pyplot as plt

    plt.close("all")
    yield plt
    plt.close("all")
