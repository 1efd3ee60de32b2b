"""The sandbox of a file's tests."""

import matplotlib.font_manager  # noqa: F401  Looks for fonts, and makes its folders, when it is first imported.
import pytest
from sandbox import Sandbox


@pytest.fixture(scope="module")
def sandbox(tmp_path_factory):
    return Sandbox(tmp_path_factory.mktemp("sandbox"))
