"""Build the cffi extensions; everything else is in pyproject.toml."""

from setuptools import setup

setup(
    cffi_modules=[
        "babel_ctl/_native/build_reader.py:ffibuilder",
        "re6stnet/_native/build_prober.py:ffibuilder",
        "re6stnet/_native/build_gains.py:ffibuilder",
        "netns-lab/netns_lab/_native/build_switch.py:ffibuilder",
        "netns-lab/netns_lab/_native/build_paths.py:ffibuilder",
    ]
)
