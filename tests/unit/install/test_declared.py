import sys
import textwrap

import pytest

from amoc.base.errors import ScenarioError
from amoc.install.declared import declared

PYTHON = ".".join(map(str, sys.version_info[:3]))


@pytest.fixture
def scenario(tmp_path):
    def write(text, name="shop.py"):
        file = tmp_path / name
        file.parent.mkdir(exist_ok=True)
        file.write_text(textwrap.dedent(text))
        return str(file)

    return write


def inline(*lines):
    return "\n".join(["# /// script", *(f"# {one}".rstrip() for one in lines), "# ///", ""])


def test_inline_metadata_is_read(scenario):
    found = declared(
        scenario(
            inline('requires-python = ">=3.11"', "dependencies = [", '  "faker>=2",', '  "attrs"]')
        )
    )

    assert found.requirements == ("faker>=2", "attrs")
    assert found.lock.name == "shop.lock"


def test_a_requirements_file_next_to_the_scenario_is_used_without_inline_metadata(
    scenario, tmp_path
):
    shop = scenario("start = print\n")
    assert declared(shop) is None

    scenario(
        """
        # ours
        faker >= 2 \\
            --hash=sha256:1    # pinned
        -r more/more.txt
        -c limits.txt
        --index-url https://host/simple
        -f wheels
        """,
        "requirements.txt",
    )
    scenario("attrs\nfaker\n", "more/more.txt")
    scenario("six<2\n", "limits.txt")
    (tmp_path / "wheels").mkdir()

    found = declared(shop)
    assert found.requirements == ("faker >= 2 --hash=sha256:1", "attrs", "faker")
    assert found.constraints == ("six<2",)
    assert found.options == (
        "--index-url https://host/simple",
        f"--find-links {tmp_path / 'wheels'}",
    )
    assert found.lock == tmp_path / "requirements.lock"
    scenario(inline("dependencies = []"))
    assert declared(shop) is None


def test_a_local_wheel_is_identified_by_its_content(scenario, tmp_path):
    shop = scenario("")
    scenario("./own.whl\n", "requirements.txt")
    (tmp_path / "own.whl").write_bytes(b"one")
    before = declared(shop)
    (tmp_path / "own.whl").write_bytes(b"two")

    assert before.requirements[0].startswith(f"{(tmp_path / 'own.whl').as_uri()} --hash=sha256:")
    assert declared(shop).digest != before.digest


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("# /// script\n# dependencies = []\n", "lacks its last line, '# ///'"),
        (inline("dependencies = 1"), "dependencies must be a list of strings, got 1"),
        (inline('dependencies = ["./a.whl"]'), "a dependency must be a name, got './a.whl'"),
        (inline("dependencies ="), "is not valid TOML"),
        (inline('requires-python = ">=99"'), f"requires Python >=99, but this is {PYTHON}"),
        (
            inline('requires-python = "new"'),
            "requires-python must be a specifier such as '>=3.11', got 'new'",
        ),
        (inline("[tool.uv]", "index-url = 'x'"), r"amoc does not read \[tool.uv\]"),
        (f"{inline('a = 1')}\n{inline('b = 1')}", "must be only one block '# /// script', got 2"),
    ],
)
def test_errors_in_inline_metadata_name_the_file(scenario, text, message):
    shop = scenario(text)

    with pytest.raises(ScenarioError, match=message) as raised:
        declared(shop)
    assert shop in str(raised.value)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("-e .", "cannot depend on an editable install, got '-e .'"),
        (".", "cannot depend on a directory"),
        ("absent.whl/x", "'absent.whl/x' is neither a requirement nor a file"),
        ("-r requirements.txt", "at most 10 deep"),
        ("-r absent.txt", "absent.txt cannot be read: No such file"),
    ],
)
def test_errors_in_a_requirements_file_are_reported(scenario, text, message):
    scenario(f"{text}\n", "requirements.txt")

    with pytest.raises(ScenarioError, match=message):
        declared(scenario(""))


def test_scenarios_of_one_run_combine_their_requirements(scenario):
    buy = scenario(inline('dependencies = ["attrs", "faker"]'), "buy.py")
    browse = scenario(inline('dependencies = ["faker", "six"]'), "browse.py")
    idle = scenario("start = print\n", "idle.py")

    found = declared(f"{buy}=1 {browse}=2 {idle}=3")

    assert found.requirements == ("attrs", "faker", "six")
    assert (found.name, found.lock) == (f"{buy} and {browse}", None)
    assert declared(f"{buy}=1 {idle}=2") == declared(buy)


def test_modules_and_missing_files_have_no_requirements():
    assert declared("json") is None
    assert declared("absent.py") is None
