"""What is said where a shared library is missing."""

from __future__ import annotations

import pytest

from service.errors import SetupError
from service.inference.native_libraries import require_libraries


def test_a_present_library_is_enough() -> None:
    require_libraries({"libc.so.6": "libc6"})


def test_each_missing_library_is_named_with_the_package_that_has_it() -> None:
    packages = {"libc.so.6": "libc6", "libnot-here.so.1": "libnothere1", "libnor-there.so.2": "libnorthere2"}
    with pytest.raises(
        SetupError, match=r"libnot-here\.so\.1 and libnor-there.* apt-get install libnothere1 libnorthere2$"
    ):
        require_libraries(packages)
