"""Build recipe of ``re6stnet._native._gains``, the scores of selection in C (cffi, API mode).

``setup.py`` uses ``ffibuilder``; ``python build_gains.py`` compiles in place, beside this file.
"""

from pathlib import Path

from cffi import FFI

_HERE = Path(__file__).resolve().parent
_HEADER = (_HERE / "gains.h").read_text()

ffibuilder = FFI()
ffibuilder.cdef(_HEADER)
# The source is handed over as text: it then builds the same from any working directory.
ffibuilder.set_source(
    "re6stnet._native._gains",
    "\n".join(["#include <stdint.h>\n#include <stdlib.h>\n", _HEADER, (_HERE / "gains.c").read_text()]),
    # No fused multiplication: the same numbers on every machine, and as in the Python reference.
    extra_compile_args=["-O3", "-std=gnu11", "-Wall", "-Wextra", "-ffp-contract=off"],
)

if __name__ == "__main__":
    ffibuilder.compile(tmpdir=str(_HERE.parent.parent), verbose=False)
