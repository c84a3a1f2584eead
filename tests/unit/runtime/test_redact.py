"""Which words of a text are a credential, and which only look like one."""

from __future__ import annotations

import time

import pytest

from deepforge_hpc.runtime.base.redact import (
    REDACTED,
    filter_text,
    filter_value,
    filter_variable,
    holds_credential,
    names_secret,
)

SECRET = "hunter2"
TEXTS = (
    *("password=hunter2", "password = hunter2", "password: hunter2", "  password:  hunter2  "),
    *("password=b'hunter2'", "'password': b'hunter2'", 'password=rb"hunter2"', "password=[b'hunter2']"),
    *("password='a hunter2 b'", 'password="a, hunter2; b"', r'password="a \" hunter2"', "password='a hunter2"),
    *("{'password': 'a hunter2'}", r'{\"password\": \"hunter2\"}', '{"password" :\n "hunter2"}'),
    *("Authorization: Token hunter2", "Authorization: ApiKey hunter2", "Authorization: hunter2"),
    *("authorization='Bearer hunter2'", "{'Authorization': 'Token hunter2'}", "Authorization: Own hunter2"),
    *("curl -H 'Authorization: Own hunter2' x", "Proxy-Authorization: Basic hunter2 failed"),
    *("redis://:hunter2@host/0", "redis://me:hunter2@host", "postgres://me:p@hunter2@host/x"),
    *("https://me:p/hunter2@host/x", "s3://k:hunter2/w+x@host:9000/b"),
    *("X-Api-Key: hunter2", "curl -H 'X-Api-Key: hunter2' https://x", "x-auth-token: hunter2"),
    *("MYSQL_PWD=hunter2", "export MYSQL_PWD='hunter2'", "PGPASSWORD=hunter2 psql"),
    *("https://x/y?token=hunter2", "https://x/y?a=1&token=hunter2&b=2", "https://x?access_token=hunter2"),
    *("clientSecret=hunter2", "{'clientSecret': 'hunter2'}", "apiKey: hunter2", "accessToken = hunter2"),
    *("hf_token=hunter2", "token=hunter2", "token = 'hunter2'", "token: hunter2", "hub-token: hunter2"),
    *("dbpassword=hunter2", "db.password=hunter2", "db.password: hunter2", "self.token = 'hunter2'"),
    *("run --password=hunter2 x", "run --db-password='a hunter2'", "run --token hunter2", "--hf-token=hunter2"),
    *("--my-own-db-password hunter2", "--password 'a hunter2'", "passwords: hunter2", "api_keys=['hunter2']"),
    *("password:hunter2", "{password:hunter2}", "user:me,password:hunter2", "db_password:hunter2 ", "api_key:hunter2", "password:'hunter2'"),
    *("client_secret:hunter2", "token:hunter2", "{token:hunter2}", "a\n  password:hunter2\nb", "(password:hunter2)"),
    *("{'pwd': 'hunter2'}", '{"pwd": "hunter2"}', "{'pwd': b'hunter2', 'x': 1}", r'{\"pwd\": \"hunter2\"}', "UID=me;PWD=hunter2;x", "pwd = hunter2"),
    *("password=hunter2(x", "password = hunter2", "a line\npassword: hunter2\nanother", "login failed (password: hunter2)", "secrets=hunter2"),
)  # fmt: skip
HARMLESS = (
    *("tokens: 512", "token: 512", "max_tokens=512", "token_size=8", "tokenizer=bert", "tokenizer: bert"),
    *("pad_token=<pad>", "pad_token: x", "eos_token='</s>'", "token=<pad>", "unexpected token: EOF"),
    *("pwd=/home/x", "PWD=/home/x", "OLDPWD=/home/x", "INIT_PWD=/home/x", "cd $PWD"),
    *("password_policy=strict", "password_file: /x", "secretary=x", "secret_name: x", "secret:hub"),
    *("password=None", "password = None", "password=''", "password=getpass.getpass()", "if password == x:"),
    *("password: it is missing", "use api_key", "the secret of it", "sort_key=z", "key: value", "low_pass=3"),
    *("https://host:80/x@v2", "https://host:8080/a/b@c.org", "docker://host:5000/x@sha256:ab", "http://h:{port}/x@y"),
    *("https://host:80/x", "ssh://git@host/x", "see https://x.org: me@y", "12:30 me@host", "token is used"),
    *('api_key="{inputs.key}"', "--password '{inputs.key}'", "x-api-key: {inputs.key}"),
    *("secret:hub", "secrets:hub", "secret://vault/x", "test_password::test_one", "Credentials::Get", "conf/credentials:12", "credentials:12"),
    *("hub/secret:latest", "password_policy:strict", "key:value", "token:512", "tokens:512", "a token:EOF", "pwd: command not found"),
    *("{'pwd': '/home/x'}", "{'pwd': 'build/x'}", "pwd=build/x", "{'pwd': '~/x'}", "{'pwd': None}", "{'pwd': ''}", "cwd, pwd = x()", "'pwd' is x"),
    *("authorization", "author: Ada", "bypass: on", "compass=n", "passes: 3", "passed=12"),
)  # fmt: skip


@pytest.mark.parametrize("text", TEXTS)
def test_a_credential_is_cut_out_of_a_text_and_known_as_one(text: str) -> None:
    told = filter_text(text)
    assert SECRET not in told
    assert filter_text(told) == told
    assert holds_credential(text)
    assert not holds_credential(told)
    assert filter_value({"x": [text]}) == {"x": [REDACTED]}
    assert filter_variable("TF_X", text) == REDACTED


@pytest.mark.parametrize("text", HARMLESS)
def test_what_only_looks_like_one_is_left(text: str) -> None:
    assert filter_text(text) == text
    assert not holds_credential(text)
    assert filter_value({"x": text}) == {"x": text}


@pytest.mark.parametrize(
    "text",
    [
        *('API_KEY="$(cat ~/.key)"', "--password '$PW'", "password: $PW", "token=${TOKEN}"),
        *("curl -H 'X-Api-Key: $KEY'", 'curl -H "Authorization: Token $KEY"', "redis://:$PW@host"),
    ],
)  # fmt: skip
def test_what_a_shell_reads_later_is_none(text: str) -> None:
    assert not holds_credential(text)


def test_what_stands_around_it_is_left() -> None:
    told = filter_text("at https://x/y?a=1&token=hunter2&b=2 (password='a b', user=me): no")
    assert told == "at https://x/y?a=1&token=[redacted]&b=2 (password=[redacted], user=me): no"


@pytest.mark.parametrize(
    "name",
    [
        *("token", "hf_token", "hfToken", "clientSecret", "client_secret", "dbpassword", "db.password"),
        *("X-Api-Key", "apiKey", "accessToken", "db.token", "MYSQL_PWD", "passwords", "api_keys"),
        *("refreshToken", "Proxy-Authorization", "aws_secret_access_key", "credentials"),
        *("jwt", "session_cookie", "auth_key", "authKey"),
        *("password2", "db_password_1", "api_key_openai", "openai_key", "aws-key", "db_pass", "smtpPass", "ssh_pass"),
    ],
)  # fmt: skip
def test_a_key_is_a_secret_by_its_name(name: str) -> None:
    assert filter_value({name: "hunter2"}) == {name: REDACTED}


@pytest.mark.parametrize(
    "name",
    [
        *("tokens", "token_size", "max_tokens", "tokenizer", "pad_token", "eos_token", "oov_token"),
        *("password_policy", "password_file", "secretary", "sort_key", "low_pass", "passes", "author"),
        *("authorization_url", "key", "keys", "tokenization"),
        *("api_key_file", "access_key_id", "api_key_env", "high_pass", "first_pass", "column_key", "primary_key"),
    ],
)  # fmt: skip
def test_a_key_is_none_by_a_part_of_its_name(name: str) -> None:
    assert not names_secret(name)


def test_a_token_of_words_is_no_secret() -> None:
    data = {"token": "<pad>", "hf_token": "", "password": None, "token_of": 1, "api_token": True}
    data |= {"token": 3}
    assert filter_value(data) == data
    assert filter_value({"token": "[CLS]"}) == {"token": "[CLS]"}
    for password in (123456, 123, -1, 0.5, "<hunter2>", "[HUNTER]"):
        assert filter_value({"password": password}) == {"password": REDACTED}


@pytest.mark.parametrize("name", ["TOKENIZERS_PARALLELISM", "MAX_TOKENS", "TOKEN_SIZE", "PWD"])
def test_a_variable_is_none_by_a_part_of_its_name(name: str) -> None:
    assert filter_variable(name, "false") == "false"


@pytest.mark.parametrize(
    "part",
    [
        *("-", "--a-", "password", "password ", "password=\\", "password:  ", "a.", "a://", "a://:", "\\"),
        *("token: ", "Authorization: a ", "Authorization:", "--password ", "'password", "_pwd", "{token:"),
        *("pwd", "pwd=", "pwd=a", "'pwd':", "password:", "password:a", "secret:a,", ",token:"),
        *("password='", 'password="\\"', "x://a:b:", "://a:@", "_PWD= ", "password=a.", "eyJaaaaaaaa.", "sk-"),
    ],
)  # fmt: skip
def test_the_work_is_that_of_the_text(part: str) -> None:
    """Of what a hostile program prints; the square of it would take half a minute."""
    text = part * (60_000 // len(part))
    start = time.process_time()
    filter_text(text)
    holds_credential(text)
    assert time.process_time() - start < 2
