"""The verb serve, up to where it would listen; tests/e2e/test_serving.py runs it."""

import socket

from desta2.serve.keys import Keys


def test_other_machines_are_let_in_with_keys_only(mistake):
    line = mistake("serve", "--host", "0.0.0.0")
    assert "--host 0.0.0.0 lets other machines in" in line
    assert "--api-keys FILE" in line and "--open-to-all" in line


def test_a_new_key_and_its_line_fit(cli, tmp_path):
    code, out, _ = cli("serve", "--new-key", "anna")
    assert code == 0
    first, second = out.splitlines()
    key, line = first.rpartition(": ")[2], second.rpartition(": ")[2]
    (tmp_path / "keys").write_text(line)
    assert Keys.read(tmp_path / "keys").name_of(key) == "anna"


def test_a_bad_file_of_keys_fails_before_the_model_loads(mistake, tmp_path):
    (tmp_path / "keys").write_text("secret")
    line = mistake("serve", "--model", "/nowhere", "--api-keys", tmp_path / "keys")
    assert "line 1 is not NAME:HASH" in line and "secret" not in line.replace(str(tmp_path), "")


def test_a_model_that_is_not_there(mistake):
    assert "/nowhere" in mistake("serve", "--model", "/nowhere")


def test_a_port_that_is_taken_fails_the_run(cli):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        code, _, err = cli("serve", "--port", port)
    assert code == 1
    assert f"cannot listen on 127.0.0.1 port {port}" in err


def test_an_engine_that_does_not_answer_fails_before_the_model_loads(mistake):
    with socket.create_server(("127.0.0.1", 0)) as bound:
        port = bound.getsockname()[1]
    line = mistake("serve", "--model", "/nowhere", "--llm-url", f"http://127.0.0.1:{port}/v1")
    assert f"nobody answers at http://127.0.0.1:{port}/v1/models" in line
