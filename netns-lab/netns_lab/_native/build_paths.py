"""Build recipe of ``netns_lab._native._paths``, the simulator's shortest paths in C (cffi, API mode).

``setup.py`` uses ``ffibuilder``; ``python build_paths.py`` compiles in place, beside this file.
"""

from pathlib import Path

from cffi import FFI

_HERE = Path(__file__).resolve().parent
_HEADER = (_HERE / "paths.h").read_text()
_INCLUDES = "".join(f"#include <{name}.h>\n" for name in ("stdint", "stdlib", "string", "math"))

ffibuilder = FFI()
ffibuilder.cdef(_HEADER)
# The source is handed over as text: it then builds the same from any working directory.
ffibuilder.set_source(
    "netns_lab._native._paths",
    "\n".join([_INCLUDES, _HEADER, *((_HERE / name).read_text() for name in ("paths.c", "underlay.c"))]),
    # No fused multiplication: the same numbers on every machine, and as in the Python reference.
    extra_compile_args=["-O3", "-Wall", "-Wextra", "-ffp-contract=off"],
    libraries=["m"],
)

if __name__ == "__main__":
    ffibuilder.compile(tmpdir=str(_HERE.parent.parent), verbose=True)
