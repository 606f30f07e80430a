"""Asking a lab: whatever sits behind the socket, the outcome is an answer or one known error."""

import socket
import threading
from pathlib import Path

import pytest

from netns_lab.control.client import ask
from netns_lab.control.requests import Info
from re6st_core.errors import RouterError, WireError


def answer_with(path: Path, answer: bytes) -> threading.Thread:
    """A lab that answers one request with these bytes and hangs up."""
    server = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    server.bind(str(path))
    server.listen()

    def serve() -> None:
        with server, server.accept()[0] as client:
            client.recv(1000)
            client.sendall(answer)

    thread = threading.Thread(target=serve)
    thread.start()
    return thread


def test_an_answer_is_what_the_lab_said(tmp_path: Path) -> None:
    lab = answer_with(tmp_path / "s", b'{"answer":{"label":"demo"}}\n')
    assert ask(tmp_path / "s", Info()) == {"label": "demo"}
    lab.join()


def test_a_lab_that_ends_in_the_middle_or_says_nonsense_is_one_error(tmp_path: Path) -> None:
    for number, (answer, error) in enumerate(
        ((b"", RouterError), (b'{"answer":{}', RouterError), (b"hello\n", WireError))
    ):
        lab = answer_with(tmp_path / str(number), answer)
        with pytest.raises(error):
            ask(tmp_path / str(number), Info())
        lab.join()


def test_a_lab_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(RouterError, match=r"does not answer at .*absent"):
        ask(tmp_path / "absent", Info())
