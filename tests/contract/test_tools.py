"""The scripts that hold the house to its habits notice when it does not keep them."""

import ast
from pathlib import Path

import pytest

import architecture
import behaviours
import figures
import repeats
from source_code import MovedError, Symbol


def measured(tmp_path, source):
    file = tmp_path / "module.py"
    file.write_text(source)
    return figures.read_file(file, tmp_path)


def test_a_long_function_and_one_with_many_parameters_are_named(tmp_path):
    body = "\n".join("    x = 1" for _ in range(60))
    many = ", ".join("abcdefgh")
    found = measured(tmp_path, f"def long():\n{body}\n\n\nclass C:\n    def wide(self, {many}):\n        pass\n")
    assert list(figures.too_large([found])) == [
        "module.py:1: long has 61 lines; at most 60",
        "module.py:65: wide has 8 parameters; at most 7",
    ]


def test_what_just_fits_is_not_named(tmp_path):
    body = "\n".join("    x = 1" for _ in range(59))
    found = measured(tmp_path, f"def long(a, *, b, c, d, e, f, g):\n{body}\n")
    assert list(figures.too_large([found])) == []


def test_kernels_may_be_long(tmp_path):
    body = "\n".join("    x = 1" for _ in range(80))
    found = measured(tmp_path, f"@numba.njit(cache=True)\ndef long():\n{body}\n")
    assert list(figures.too_large([found])) == []


def test_a_long_file_is_named(tmp_path):
    assert list(figures.too_large([measured(tmp_path, "x = 1\n" * 401)])) == ["module.py: 401 lines; at most 400"]


def test_figures_of_the_whole_have_limits(tmp_path):
    files = [measured(tmp_path, "def f():\n" + "    x = 1\n" * 20)]
    assert list(figures.above_medians(files)) == [
        "median of functions: 21 lines; at most 7",
        "90th percentile of functions: 21 lines; at most 20",
    ]


BLOCK = "\n".join(f"    {{0}}.append({{1}} + {number})" for number in range(10))


def repeated(tmp_path, *sources):
    files = [tmp_path / f"{number}.py" for number in range(len(sources))]
    for file, source in zip(files, sources, strict=True):
        file.write_text(source)
    return repeats.repeats(files, tmp_path)


def test_a_block_of_ten_lines_under_other_names_is_found(tmp_path):
    one, other = (f"def {name}(a, b):\n{BLOCK.format(*names)}\n" for name, names in (("f", "ab"), ("longer", "xy")))
    with_words = other.replace(":\n", ':\n    """Do it."""\n\n', 1).replace(" + 3)", " + 3)  # why")
    assert repeated(tmp_path, one, with_words) == ["0.py:2-11: stands in 1.py:4-13 too"]


def test_nine_lines_another_number_and_names_in_another_order_are_no_repeat(tmp_path):
    block = BLOCK.format("a", "b")
    nine = "\n".join(block.splitlines()[1:])
    for other in (nine, block.replace("+ 4", "+ 40"), block.replace("a.append(b + 5)", "b.append(a + 5)")):
        assert repeated(tmp_path, f"if a:\n{block}\n", f"while b and c:\n{other}\n") == []


def test_imports_and_fields_are_no_block(tmp_path):
    fields = "class C:\n" + "".join(f"    {name}: int = 0\n" for name in "abcdefghijkl")
    imports = "".join(f"from os import {name}\n" for name in "abcdefghijkl")
    assert repeated(tmp_path, fields, fields, imports, imports) == []


def test_a_list_of_like_lines_is_no_block(tmp_path):
    calls = "\n".join(f"    cli.add({name})" for name in "abcdefghijklmnopqrstuvwxyz")
    assert repeated(tmp_path, f"def f(cli):\n{calls}\n") == []


def test_no_block_of_src_stands_twice():
    assert repeats.repeats(sorted((repeats.ROOT / "src").rglob("*.py")), repeats.ROOT) == []


@pytest.mark.parametrize(("share", "expected"), [(0.1, 1), (0.5, 5), (0.9, 9), (1.0, 10)])
def test_percentiles_are_values_that_occur(share, expected):
    assert figures.percentile(range(1, 11), share) == expected


def test_a_docstring_without_a_verb_is_found(tmp_path):
    source = 'def f():\n    """What it is."""\n\n\ndef g():\n    """Return it."""\n\n\ndef _h():\n    """What."""\n'
    source += 'class C:\n    @property\n    def a(self):\n        """What it is."""\n'
    assert [one.split(": ")[1] for one in figures.doubtful_words([measured(tmp_path, source)])] == ["f"]


def test_a_symbol_that_moved_is_an_error():
    assert Symbol.parse("errors:UserError.at").docstring().startswith("Make the error of")
    for gone in ("errors:Nothing", "errors:UserError.nothing", "nowhere", "nowhere:UserError"):
        with pytest.raises(MovedError, match="where did it go"):
            Symbol.parse(gone).docstring()


def test_a_behaviour_that_moved_is_named(monkeypatch):
    monkeypatch.setitem(behaviours.BEHAVIOURS, "It flies", "wings:flap")
    assert behaviours.moved() == ["It flies: no module proml_kedro.wings; where did it go?"]
    assert behaviours.main(["--check"]) == 1


def test_there_are_thirty_behaviours_none_of_them_moved():
    assert len(behaviours.BEHAVIOURS) == 30
    assert behaviours.moved() == []


@pytest.mark.parametrize("arrow", ["", "by errors", "through tensorflow", "no_result", "serving.no_key"])
def test_an_arrow_that_is_not_in_the_code_is_an_error(arrow):
    with pytest.raises(MovedError):
        list(architecture.draw_way([("start", ""), ("spec.dtype:vector_size", ""), ("locks:take", arrow)]))


def test_scripts_say_how_they_are_run():
    tools = Path(architecture.__file__).parent
    for file in tools.glob("*.py"):
        text = file.read_text()
        if '__name__ == "__main__"' in text:
            assert f"python tools/{file.name}" in (ast.get_docstring(ast.parse(text)) or ""), file.name
