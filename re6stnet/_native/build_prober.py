"""Build the C prober of tunnels with cffi (API mode)."""

from pathlib import Path

from cffi import FFI

HERE = Path(__file__).resolve().parent

ffibuilder = FFI()
ffibuilder.cdef((HERE / "prober.h").read_text())
# The source is included whole: one translation unit, and an installed sdist needs no header search path.
ffibuilder.set_source(
    "re6stnet._native._prober",
    "#include <stddef.h>\n#include <stdint.h>\n"
    + (HERE / "prober.h").read_text()
    + (HERE / "probing.c").read_text()
    + (HERE / "prober.c").read_text(),
    libraries=["pthread"],
    extra_compile_args=["-O2", "-std=gnu11", "-Wall", "-Wextra", "-Wno-unused-parameter"],
)

if __name__ == "__main__":
    ffibuilder.compile(tmpdir=str(HERE.parents[1]), verbose=False)
