"""A matrix file: the rows asked for, or all that is wrong with it."""

import lzma
from pathlib import Path

import pytest

from netns_lab.topology.matrix_file import select_rtt_ms
from re6st_core.errors import ConfigError

GOOD = "0,1,2\n10, 0,12.5\n20,21,7\n"


def test_rows_and_columns_are_taken_in_the_order_asked_for(tmp_path: Path) -> None:
    file = tmp_path / "m.csv"
    file.write_text(GOOD)
    assert select_rtt_ms(file, [2, 1]) == [[0, 21], [12.5, 0]]
    compressed = tmp_path / "m.csv.xz"
    compressed.write_bytes(lzma.compress(GOOD.encode()))
    assert select_rtt_ms(compressed, [0, 1, 2]) == [[0, 1, 2], [10, 0, 12.5], [20, 21, 0]]


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b"0,1\n1,0\n", [": there is no row 2: it has 2, counted from 0"]),
        (b"", [": is empty"]),
        (b"0,1,2\n1,0\n", [":2: 2 values, and 3 in the first line"]),
        (b"0,1,2\n1,0,3\n", [": not square: 2 lines of 3 values"]),
        (
            b"0,x,-1\n1,0,nan\n1,1e5,0\n",
            [
                ":1: column 2: 'x' is not a time in ms",
                ":1: column 3: '-1' is not a time",
                ":2: column 3: 'nan' is not a time",
                ":3: column 2: '1e5' is not a time",
            ],
        ),
        (b"0,1\xff", [": not a CSV file of numbers (byte 3)"]),
        (b"0,1,1\n" + b"1\n" * 9, [":2: ", ":3: ", ":4: ", "…"]),
    ],
)
def test_what_is_wrong_is_named(tmp_path: Path, content: bytes, expected: list[str]) -> None:
    file = tmp_path / "m.csv"
    file.write_bytes(content)
    with pytest.raises(ConfigError) as caught:
        select_rtt_ms(file, [0, 1, 2])
    assert len(caught.value.problems) == len(expected)
    for problem, part in zip(caught.value.problems, expected, strict=True):
        assert part in problem


def test_missing_and_damaged_files(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="No such file"):
        select_rtt_ms(tmp_path / "absent.csv", [0])
    file = tmp_path / "m.csv.xz"
    for content in (b"no xz", lzma.compress(GOOD.encode())[:-8], b""):
        file.write_bytes(content)
        with pytest.raises(ConfigError, match=r"m\.csv\.xz: (not an xz file|is empty)"):
            select_rtt_ms(file, [0])
