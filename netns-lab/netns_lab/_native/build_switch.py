"""Build recipe of ``netns_lab._native._switch``, the switch in C (cffi, API mode).

``setup.py`` uses ``ffibuilder``; ``python build_switch.py`` compiles in place, beside this file.
"""

from pathlib import Path

from cffi import FFI

_HERE = Path(__file__).resolve().parent
_SOURCES = tuple(_HERE / name for name in ("switch_state.c", "switch.c", "switch_loop.c", "descriptors.c"))
_HEADER = (_HERE / "switch.h").read_text()

ffibuilder = FFI()
ffibuilder.cdef(_HEADER)
# The source is handed over as text: it then builds the same from any working directory.
ffibuilder.set_source(
    "netns_lab._native._switch",
    "\n".join(
        ["#include <stdint.h>", "#include <stddef.h>", _HEADER, *(path.read_text() for path in _SOURCES)]
    ),
    extra_compile_args=["-O2", "-Wall", "-Wextra", "-Wno-unused-parameter", "-pthread"],
)

if __name__ == "__main__":
    ffibuilder.compile(tmpdir=str(_HERE.parent.parent), verbose=True)
