"""The programs a lab needs: are they there, how are ours started, and how one is run to its end."""

import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from re6st_core.errors import ConfigError, RouterError

# Program -> Debian package that has it.
LAB_PACKAGES = {"ip": "iproute2", "nft": "nftables", "mount": "mount"}
MESH_PACKAGES = {
    "babeld": "babeld",
    "openvpn": "openvpn",
    "wireguard-go": "wireguard-go",
    "traceroute": "traceroute",
}

CLOCK_PACKAGES = {"faketime": "faketime"}
"""Besides, for nodes whose clock is wrong."""

_SYSTEM_PLACES = ("/usr/sbin", "/sbin")

# Our own commands -> the function behind each, for a checkout that is not installed.
_OWN = {
    "re6stnet": "re6stnet.cli.daemon",
    "re6st-conf": "re6stnet.cli.conf",
    "re6st": "re6stnet.cli.show",
    "re6st-registry": "registry.cli",
}


def require(packages: dict[str, str], *, euid: int | None = None) -> None:
    """Check privileges and programs (name -> Debian package); ConfigError names all that is missing."""
    problems = []
    missing = [program for program in packages if shutil.which(program, path=_search_path()) is None]
    if missing:
        install = " ".join(sorted({packages[program] for program in missing}))
        problems.append(f"{', '.join(missing)} not found, as root: apt-get install -y {install}")
    if (os.geteuid() if euid is None else euid) != 0:
        problems.append("network namespaces need root, run it with sudo")
    elif not Path("/dev/net/tun").exists():
        problems.append("/dev/net/tun is missing, as root: modprobe tun")
    if problems:
        raise ConfigError(*problems)


def own(command: str) -> list[str]:
    """Argument list that starts one of our commands: the script beside the interpreter, else its module."""
    script = Path(sys.executable).with_name(command)
    if script.exists():
        return [str(script)]
    return [
        sys.executable,
        "-c",
        f"import sys; from {_OWN[command]} import main; sys.exit(main(sys.argv[1:]))",
    ]


def own_directory() -> str:
    """Where our commands are installed, if they are."""
    return str(Path(sys.executable).parent)


def own_environment() -> dict[str, str]:
    """The environment for our commands: they import what this process does, and find what it requires."""
    imported = os.pathsep.join(path for path in sys.path if path)
    return {**os.environ, "PATH": _search_path(), "PYTHONPATH": imported}


def _search_path() -> str:
    """Where programs are looked for: a user's PATH often lacks the directories where ours are."""
    path = os.environ.get("PATH", os.defpath).split(os.pathsep)
    return os.pathsep.join([*path, *(place for place in _SYSTEM_PLACES if place not in path)])


def run(
    argv: Sequence[str], *, text: str = "", timeout_s: float = 30, shown: Sequence[str] | None = None
) -> str:
    """Run a program to its end and return what it printed; RouterError if it fails or hangs.

    ``shown`` is what the error calls the command, when ``argv`` is wrapped in others.  The program gets a
    session of its own: a Ctrl-C at the terminal is for us, not for half of a set-up.
    """
    try:
        done = subprocess.run(
            argv,
            input=text,
            text=True,
            capture_output=True,
            timeout=timeout_s,
            check=False,
            env=own_environment(),
            start_new_session=True,
        )
    except (OSError, subprocess.TimeoutExpired) as exc:
        raise RouterError(f"{' '.join(shown or argv)}: {exc}") from exc
    if done.returncode != 0:
        said = done.stderr.strip() or done.stdout.strip() or f"exit status {done.returncode}"
        raise RouterError(f"{' '.join(shown or argv)}: {'; '.join(said.splitlines()[-2:])}")
    return done.stdout
