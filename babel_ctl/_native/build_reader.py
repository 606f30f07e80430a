"""Build the C reader of babeld's control socket with cffi (API mode)."""

from pathlib import Path

from cffi import FFI

HERE = Path(__file__).resolve().parent

ffibuilder = FFI()
ffibuilder.cdef((HERE / "reader.h").read_text())
# The source is included whole: one translation unit, and an installed sdist needs no header search path.
ffibuilder.set_source(
    "babel_ctl._native._reader",
    "#include <stddef.h>\n#include <stdint.h>\n"
    + (HERE / "reader.h").read_text()
    + (HERE / "tables.c").read_text()
    + (HERE / "parse.c").read_text()
    + (HERE / "protocol.c").read_text()
    + (HERE / "reader.c").read_text(),
    libraries=["pthread"],
    extra_compile_args=["-O3", "-std=gnu11", "-Wall", "-Wextra", "-Wno-unused-parameter"],
)

if __name__ == "__main__":
    ffibuilder.compile(tmpdir=str(HERE.parents[1]), verbose=False)
