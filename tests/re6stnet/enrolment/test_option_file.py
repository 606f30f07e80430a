"""The file is what the daemon reads."""

import re
from pathlib import Path

from re6stnet.cli.optionfile import Parser
from re6stnet.enrolment.option_file import option_file


def read(path: Path) -> dict[str, object]:
    parser = Parser()
    for name in (
        "registry",
        "ca",
        "cert",
        "key",
        "country",
        "ip",
        "port",
        "interface",
        "log",
        "state",
        "run",
    ):
        parser.add_argument("--" + name)
    options, problems = parser.read([f"@{path}"])
    assert problems == []
    return vars(options)


def test_the_daemon_reads_what_is_written(tmp_path: Path) -> None:
    path = tmp_path / "re6stnet.conf"
    odd = Path("/etc/with space/and'quote")
    text = option_file("http://a/", ca=odd / "ca", cert=odd / "cert", key=odd / "key", country="FR")
    path.write_text(text)
    options = read(path)
    assert options["registry"] == "http://a/"
    assert (options["ca"], options["key"]) == (str(odd / "ca"), str(odd / "key"))
    assert (options["country"], options["port"]) == ("FR", None)


def test_every_hint_is_an_option(tmp_path: Path) -> None:
    path = tmp_path / "re6stnet.conf"
    text = option_file("http://a/", ca=path, cert=path, key=path, country=None)
    assert "country" not in text
    path.write_text("\n".join(re.sub("^#([a-z])", r"\1", line) for line in text.splitlines()))
    assert read(path)["port"] == "1194"
