"""Matrices are read in the forms people have them; every mistake is named with its place."""

import lzma
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from netns_lab.simulate import matrix
from netns_lab.simulate.delays import Delays
from netns_lab.simulate.matrix import read_delays
from re6st_core.errors import ConfigError

GOOD = "0,10,20\n10,0,30.5\n20,30.5,0\n"
GOOD_US = [0, 10_000, 20_000, 10_000, 0, 30_500, 20_000, 30_500, 0]


def written(tmp_path: Path, content: str | bytes, name: str = "m.csv") -> Path:
    path = tmp_path / name
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def problems(path: Path) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        read_delays(path)
    return [problem.removeprefix(f"{path}: ") for problem in caught.value.problems]


@pytest.mark.parametrize(
    "text",
    [
        GOOD,
        "\ufeff" + GOOD.replace("\n", "\r\n"),
        GOOD.replace("0,10,20", ",10,20").replace("10,0,", "10,,"),
        GOOD.replace("0,10,20", "nan,10,20"),
        "\n" + GOOD.replace("\n", "\n\n"),
        "From/to,a,b,c\na,0,10,20\nb,10,0,30.5\nc,20,30.5,0\n",
        ",1,2,3\n1,0,10,20\n2,10,0,30.5\n3,20,30.5,0\n",
        "a,b,c\n" + GOOD,
    ],
)
def test_the_usual_forms_are_all_the_same_matrix(tmp_path: Path, text: str) -> None:
    delays = read_delays(written(tmp_path, text))
    assert [list(one) for one in delays.matrices] == [GOOD_US]
    assert (delays.nodes, delays.notes) == (3, ())


def test_xz_is_recognised_whatever_the_name(tmp_path: Path) -> None:
    delays = read_delays(written(tmp_path, lzma.compress(GOOD.encode()), "m.dat"))
    assert list(delays.matrices[0]) == GOOD_US


def test_two_measurements_of_one_rtt_give_their_mean_and_a_note(tmp_path: Path) -> None:
    delays = read_delays(written(tmp_path, GOOD.replace("20,30.5,0", "24,30.5,0")))
    assert delays.matrices[0][2] == delays.matrices[0][6] == 22_000
    assert delays.notes == ("1 of 3 pairs differ by direction, by 4 ms at most: the mean is taken",)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", ["is empty: a square matrix of RTT in ms is wanted, one line a host"]),
        ("\n\n", ["is empty: a square matrix of RTT in ms is wanted, one line a host"]),
        ("0\n", ["has 1 hosts; 2 to 5000 are possible"]),
        ("0,1,2\n1,0,2\n", ["is not square: 2 lines of 3 values"]),
        (GOOD.replace("10,0,30.5", "10,0"), ["line 2: 2 values, but there are 3 lines"]),
        (GOOD.replace("10,20", "ten,20"), ["line 1, column 2: 'ten' is not a number"]),
        (GOOD.replace("10,20", ",20"), ["line 1, column 2: no value"]),
        (GOOD.replace("10,20", "NaN,20"), ["line 1, column 2: no value (NaN)"]),
        (GOOD.replace("10,20", "0,20"), ["line 1, column 2: 0 ms between two hosts: no measurement?"]),
        (GOOD.replace("10,20", "-1,20"), ["line 1, column 2: -1 ms is negative"]),
        (GOOD.replace("10,20", "1e9,20"), ["line 1, column 2: 1e9 ms is more than 60000 ms"]),
        (GOOD.replace("10,20", "inf,20"), ["line 1, column 2: inf ms is more than 60000 ms"]),
        (
            GOOD.replace("10,20", "-5,x"),
            ["line 1, column 2: -5 ms is negative", "line 1, column 3: 'x' is not a number"],
        ),
        (
            GOOD.replace("10,20", "90,20"),
            ["line 2, column 1: 10 ms, but 90 ms in line 1, column 2: not two measurements of one RTT"],
        ),
        ("From/to,a,b\na,0,x\nb,10,0\n", ["line 2, column 3: 'x' is not a number"]),
        ("i,j,t1\n", ["has 0 hosts at 1 times; at least 2 at 1 are wanted"]),
        ("i,j\n0,1\n", ["has 2 hosts at 0 times; at least 2 at 1 are wanted"]),
        ("i,j,t1\n0,1,5\n0,2,5\n", ["no line for the pair 1,2"]),
        ("i,j,t1\n0,1,5\n0,1,5\n", ["line 3: the pair 0,1 for the second time"]),
        ("i,j,t1\n1,0,5\n0,1,5\n", ["line 2: hosts 1,0: i < j < 2000 is wanted, each pair once"]),
        ("i,j,t1\na,1,5\n0,1,5\n", ["line 2: 'a,1' are not the numbers of two hosts"]),
        (
            "i,j,t1,t2\n0,1,5\n0,1,5,5\n",
            ["line 2: 1 times, but the first line names 2"],
        ),
        ("i,j,t1,t2\n0,1,5,0\n", ["line 2, column 4: 0 ms between two hosts: no measurement?"]),
    ],
)
def test_every_mistake_is_named_with_its_place(tmp_path: Path, text: str, expected: list[str]) -> None:
    assert problems(written(tmp_path, text)) == expected


def test_what_is_no_text_is_said_to_be_none(tmp_path: Path) -> None:
    assert problems(written(tmp_path, b"0,1\n1,\xff\n")) == [
        "line 2: not UTF-8, so it is no CSV file (nor an xz file)"
    ]
    broken = lzma.compress(GOOD.encode())[:-20]
    assert problems(written(tmp_path, broken, "m.csv.xz"))[0].startswith("a broken xz file: ")
    assert problems(tmp_path / "absent.csv") == ["No such file or directory"]
    assert problems(tmp_path) == ["Is a directory"]


def test_a_small_file_that_unpacks_to_a_huge_one_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(matrix, "MAX_BYTES", 1 << 20)
    packed = lzma.compress(b"0," * (1 << 20))
    assert problems(written(tmp_path, packed)) == ["more than 1 MiB of text"]


def test_slices_become_one_matrix_for_each_time(tmp_path: Path) -> None:
    delays = read_delays(written(tmp_path, "i,j,t1,t2\n0,1,1,2\n0,2,3,4\n1,2,5,6.5\n"))
    assert [list(one) for one in delays.matrices] == [
        [0, 1000, 3000, 1000, 0, 5000, 3000, 5000, 0],
        [0, 2000, 4000, 2000, 0, 6500, 4000, 6500, 0],
    ]
    assert delays.notes == ("2 time slices, the next one each round",)


def outcome(path: Path) -> Delays | ConfigError:
    try:
        return read_delays(path)
    except ConfigError as error:
        return error


@given(st.text(alphabet='0123456789.,\n-eijtn"x', max_size=60) | st.text(max_size=30))
def test_any_text_is_a_matrix_or_gives_the_one_known_error(
    tmp_path_factory: pytest.TempPathFactory, text: str
) -> None:
    path = tmp_path_factory.getbasetemp() / "any.csv"
    path.write_bytes(text.encode("utf-8", "surrogatepass"))
    found = outcome(path)
    if isinstance(found, ConfigError):
        assert all(problem.startswith(str(path)) for problem in found.problems)
    else:
        assert all(len(one) == found.nodes**2 for one in found.matrices)
