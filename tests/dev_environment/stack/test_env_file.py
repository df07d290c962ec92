"""The file `.env` means in local mode what docker compose reads in it."""

import json
from pathlib import Path

import pytest
from stack import env_file
from stack.errors import SettingError


def read(tmp_path: Path, content: str, **environ: str) -> dict[str, str]:
    path = tmp_path / ".env"
    path.write_bytes(content.encode())
    return env_file.read(path, environ)


# What docker compose 2.40 reads in a file, where the environment has X=x and an EMPTY one; null is a refusal.
GOLDEN = json.loads((Path(__file__).parent / "golden_env_files.json").read_text())
# What compose takes in its own way, and nobody means: a line that says so is better.
REFUSED = ("A:1", "A: 1", "A:b=1", "=1", 'A="a"b', "A='a'b", 'A="x" B=2', "A=${N:-{}}")


@pytest.mark.parametrize(("content", "values"), GOLDEN, ids=lambda each: ascii(each) if isinstance(each, str) else "")
def test_a_file_means_what_compose_reads_in_it(tmp_path, content, values):
    if values is None or content in REFUSED:
        with pytest.raises(SettingError, match="line "):
            read(tmp_path, content, X="x", EMPTY="")
    else:
        found = read(tmp_path, content, X="x", EMPTY="")
        assert {name: value for name, value in found.items() if name != "X"} == values


def test_a_file_may_quote_comment_and_export(tmp_path):
    content = "export A=1\nB='two # not a comment'\n# C=3\nD=\"4\" # four\nE = 5 # five\r\nF=\nG=a#b\n\nh.i-j=6\n"
    assert read(tmp_path, content) == {
        "A": "1",
        "B": "two # not a comment",
        "D": "4",
        "E": "5",
        "F": "",
        "G": "a#b",
        "h.i-j": "6",
    }


def test_double_quotes_know_escapes_and_hold_several_lines(tmp_path):
    assert read(tmp_path, 'A="say \\"hi\\"\\tnow\\\\n"\nB="two\nlines"\nC=a\\tb\n') == {
        "A": 'say "hi"\tnow\\n',
        "B": "two\nlines",
        "C": "a\\tb",
    }


def test_a_byte_order_mark_is_no_part_of_the_first_name(tmp_path):
    assert read(tmp_path, "\ufeffA=1\n") == {"A": "1"}


def test_a_name_without_a_value_is_left_to_the_environment(tmp_path):
    assert read(tmp_path, "A\nB=1\n", A="outside") == {"B": "1"}


def test_a_file_that_is_not_there_sets_nothing(tmp_path):
    assert env_file.read(tmp_path / "none", {}) == {}


@pytest.mark.parametrize(
    ("value", "expanded"),
    [
        ("${HOST}:${PORT}", "here:80"),
        ("$HOST.", "here."),
        ('"${HOST}"', "here"),
        ("'${HOST}'", "${HOST}"),
        ("a$$b", "a$b"),
        ("pa$(w$1$", "pa$(w$1$"),
        ('"\\$HOST"', "$HOST"),
        ("\\$HOST", "\\here"),
        ("${UNSET}", ""),
        ("${UNSET:-x y}", "x y"),
        ("${EMPTY:-x}${EMPTY-x}", "x"),
        ("${UNSET-x}", "x"),
        ("${UNSET:-${PORT}}1", "801"),
        ("${HOST:+x}${EMPTY:+x}${EMPTY+y}${UNSET+x}", "xy"),
        ("${HOST:?needed}", "here"),
        ("${WINS}", "outside"),
    ],
)
def test_a_value_may_name_variables_of_the_environment_and_of_the_lines_above(tmp_path, value, expanded):
    content = f"PORT=80\nEMPTY=\nWINS=inside\nA={value}\n"
    assert read(tmp_path, content, HOST="here", WINS="outside")["A"] == expanded


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        ("A=1\n\nno variable\n", "line 3: this is not NAME=value"),
        ("A=1\nB='open\n", "line 2: this is not NAME=value"),
        ('A="x" y\n', "line 1: this is not NAME=value"),
        ("=1\n", "line 1: this is not NAME=value"),
        ("A+B=1\n", "line 1: this is not NAME=value"),
        ("# first\nA=pa${word\n", "line 2: this ${ begins no variable; write $$ for a dollar sign"),
        ("A=${}\n", "line 1: this ${ begins no variable"),
        ("\nA=${B:?say where}\n", "line 2: B is needed: say where"),
    ],
)
def test_a_line_that_cannot_be_read_is_named_and_its_value_is_not_shown(tmp_path, content, complaint):
    with pytest.raises(SettingError) as refused:
        read(tmp_path, content)
    assert f"{tmp_path / '.env'}, {complaint}" in str(refused.value)
    assert "pa${word" not in str(refused.value)


def test_a_file_that_is_not_utf_8_is_refused_in_one_line(tmp_path):
    path = tmp_path / ".env"
    path.write_bytes("A=1\nB=Zürich\n".encode("latin-1"))
    with pytest.raises(SettingError, match=r"\.env is not encoded in UTF-8: its byte 8 cannot be read\.$"):
        env_file.read(path, {})


def test_a_folder_in_place_of_the_file_is_refused(tmp_path):
    with pytest.raises(SettingError, match="cannot be read: Is a directory"):
        env_file.read(tmp_path, {})
