from __future__ import annotations

import ast
import subprocess

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gliderport_prefect.errors import UserError
from gliderport_prefect.presets.placeholders import Language, compile_text

ANY_TEXT = st.text(st.characters(codec="utf-8", exclude_characters="\0"))


@settings(max_examples=60)
@given(value=ANY_TEXT)
def test_any_value_reaches_a_command_of_bash_unchanged(value: str) -> None:
    script = compile_text("printf %s before{x}after", ["x"], language=Language.SHELL).render([value])
    printed = subprocess.run(["bash", "-c", script], stdout=subprocess.PIPE, check=True).stdout
    assert printed == f"before{value}after".encode()


@given(value=ANY_TEXT)
def test_any_value_reaches_a_python_script_unchanged(value: str) -> None:
    assert ast.literal_eval(compile_text("{x}", ["x"], language=Language.PYTHON).render([value])) == value


@given(value=ANY_TEXT)
def test_a_plain_text_takes_the_value_as_it_is(value: str) -> None:
    assert compile_text("100% {x} %s {}", ["x"]).render([value]) == f"100% {value} %s {{}}"


@pytest.mark.parametrize(
    "script",
    [
        "awk '{print $1}'",
        "echo ${HOME} ${{x}}",
        "{ true; }",
        "echo {1..3} {a,b} {}",
        "date +%s",
        "echo {",
        "echo }",
        "echo {x",
    ],
)
def test_braces_that_hold_no_name_are_left_to_the_shell(script: str) -> None:
    assert (
        compile_text(f"{script} | cat - {{x}}", ["x"], language=Language.SHELL).render(["f"]) == f"{script} | cat - f"
    )


def test_doubled_braces_around_a_name_stand_for_single_ones() -> None:
    assert compile_text("{{x}} {{other}} {x}", ["x"]).render(["v"]) == "{x} {other} v"


def test_a_raw_value_is_not_quoted() -> None:
    assert compile_text("run {x:raw}", ["x"], language=Language.SHELL).render(["-a -b"]) == "run -a -b"


def test_a_width_puts_zeros_before_the_value() -> None:
    assert compile_text("{x:04}-{ x }", ["x"]).render(["7"]) == "0007-7"


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("echo {inptu}", "did you mean {input}"),
        ("echo {elsewhere}", "columns: input, n"),
        ("echo {other}", "write {{name}}"),
    ],
)
def test_a_placeholder_that_names_no_column_is_an_error_that_helps(text: str, says: str) -> None:
    with pytest.raises(UserError) as caught:
        compile_text(text, ["input", "n"], language=Language.SHELL)
    assert says in str(caught.value)


@pytest.mark.parametrize("text", ["echo '{x}'", 'echo "a {x} b"', 'echo it\\\'s "{x}"', "python -c 'print({x})'"])
def test_a_placeholder_inside_quotes_of_the_shell_is_refused(text: str) -> None:
    with pytest.raises(UserError, match="inside quotes"):
        compile_text(text, ["x"], language=Language.SHELL)


@pytest.mark.parametrize(
    "text",
    [
        "echo 'a' {x} \"b\"",
        "echo it\\'s {x}",
        "# don't worry\necho {x}",
        "cat <<E\ndon't {x}\nE",
        "echo '{x:raw}'",
        'echo "it\'s" {x}',
        "echo '<<' {x} '<<'",
        "echo ${{#a}} {x}",
    ],
)
def test_a_placeholder_outside_of_quotes_is_taken(text: str) -> None:
    assert "value" in compile_text(text, ["x"], language=Language.SHELL).render(["value"])
