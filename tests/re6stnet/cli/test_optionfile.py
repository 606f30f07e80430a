"""Option files in re6st's syntax."""

from pathlib import Path

from re6stnet.cli.daemon import parser


def read(path: Path, text: str) -> tuple[dict[str, object], list[str]]:
    path.write_text(text)
    options, problems = parser().read([f"@{path}"])
    return vars(options), problems


def test_each_line_is_an_option_without_dashes(tmp_path: Path) -> None:
    options, problems = read(
        tmp_path / "a.conf",
        "# a comment\n\nregistry http://r.example/\nca 'with space.crt'\nip 192.0.2.1\nip 2001:db8::1\nv 3\n",
    )
    assert not problems
    assert options["registry"] == "http://r.example/"
    assert options["ca"] == "with space.crt"
    assert options["ip"] == ["192.0.2.1", "2001:db8::1"]
    assert options["verbose"] == "3"


def test_a_file_includes_another_beside_it(tmp_path: Path) -> None:
    (tmp_path / "b.conf").write_text("port 443\n")
    options, problems = read(tmp_path / "a.conf", "@b.conf\n")
    assert (options["port"], problems) == ("443", [])


def test_an_argument_after_the_file_wins(tmp_path: Path) -> None:
    path = tmp_path / "a.conf"
    path.write_text("port 443\n")
    options, _ = parser().read([f"@{path}", "--port", "444"])
    assert options.port == "444"


def test_every_mistake_is_named_with_its_line(tmp_path: Path) -> None:
    path = tmp_path / "a.conf"
    _, problems = read(path, "regstry http://r.example/\nca 'unfinished\n@missing.conf\nport 1\n")
    assert any(f"{path}:1:" in p and "regstry" in p for p in problems)
    assert any(f"{path}:2:" in p for p in problems)
    assert any("missing.conf" in p for p in problems)


def test_files_that_include_each_other_end(tmp_path: Path) -> None:
    _, problems = read(tmp_path / "a.conf", "@a.conf\n")
    assert any("deep" in p for p in problems)


def test_an_unknown_argument_is_a_mistake() -> None:
    _, problems = parser().read(["--frobnicate"])
    assert any("--frobnicate" in p for p in problems)
