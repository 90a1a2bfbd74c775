from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest
import torch
from ruamel.yaml import YAML
from safetensors.torch import save_file

from robustdd.cli.app import COMMANDS, main
from robustdd.distillation.synthetic import SyntheticSet
from robustdd.reporting.readme import BEGIN, END, write_readme
from tests.data.image_files import class_folders

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")
DOCUMENTS = (
    *("README.md", "CONTRIBUTING.md", "SECURITY.md", "CHANGELOG.md", "data/README.md"),
    *(f"docs/{path.name}" for path in sorted((ROOT / "docs").glob("*.md"))),
)


def functions():
    """Every function of the core with its module's dotted name and its docstring."""
    for path in sorted((ROOT / "robustdd").rglob("*.py")):
        module = ".".join(path.relative_to(ROOT / "robustdd").with_suffix("").parts)
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.FunctionDef):
                yield f"{module}.{node.name}", ast.get_docstring(node) or ""


def test_the_table_of_equations_is_that_of_the_docstrings():
    rows = re.findall(r"^\| ([\d, ]+) \| `([\w.]+)` \|", README, re.MULTILINE)
    told = {number: function for numbers, function in rows for number in map(int, numbers.split(","))}
    homes = [
        (int(number), name)
        for name, docstring in functions()
        for number in re.findall(r"\bEq\. (\d+)\.", docstring.partition("\n")[0])
    ]
    assert sorted(number for number, _ in homes) == list(range(1, 14))
    assert told == dict(homes)


def test_every_reading_is_listed_and_every_listed_function_takes_one():
    takes_one = {name for name, docstring in functions() if "Reading:" in docstring}
    table = README[README.index("## How the paper is read") : README.index("## Limits")]
    listed = set(re.findall(r"`([\w.]+\.\w+)` \|$", table, re.MULTILINE))
    assert takes_one - listed == set()
    assert listed - takes_one == set()


def test_the_generated_block_is_what_the_committed_results_give(tmp_path):
    copy = tmp_path / "README.md"
    copy.write_text(README, encoding="utf-8")
    write_readme(copy, ROOT / "results")
    assert copy.read_text(encoding="utf-8") == README
    assert (tmp_path / "docs" / "distilled.png").exists() == ("docs/distilled.png" in README)


def test_no_accuracy_is_typed_outside_the_generated_block():
    before, _, rest = README.partition(BEGIN)
    _, _, after = rest.partition(END)
    assert not re.search(r"\d\d\.\d ?%", before + after)
    assert not re.search(r"accuracy of \d", before + after)


def test_the_five_lines_that_load_a_set_work(tmp_path, monkeypatch):
    (code,) = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
    path = tmp_path / re.search(r'"(data/[^"]+)"', code)[1]
    path.parent.mkdir(parents=True)
    save_file(SyntheticSet(torch.rand(10, 1, 8, 8), torch.eye(10), torch.tensor(0.5)).tensors(), path)
    monkeypatch.chdir(tmp_path)
    names = {}
    exec(code, names)
    assert names["labels"].sum(1).allclose(torch.ones(10)) and names["rate"] == 0.5
    assert len([line for line in code.splitlines() if line]) <= 5


@pytest.mark.parametrize("rows", ["all of them", "none, for the list of suspects alone"])
def test_the_study_of_ones_own_images_is_one_that_check_accepts(tmp_path, capsys, rows):
    text = (ROOT / "docs" / "your-images.md").read_text(encoding="utf-8")
    (block,) = re.findall(r"```yaml\n(.*?)```", text, re.DOTALL)
    yaml = YAML(typ="safe")
    params = {**yaml.load(ROOT / "params.yaml"), **yaml.load(block)}
    if rows.startswith("none"):
        params |= {"rows": {}, "grid": {**params["grid"], "finetune": [], "full": []}}
    study = tmp_path / "studies" / "mine"
    class_folders(study / "images" / "train", each=20)
    (study / "dvc.yaml").write_bytes((ROOT / "dvc.yaml").read_bytes())
    with (study / "params.yaml").open("w") as file:
        yaml.dump(params, file)
    with pytest.raises(SystemExit) as ended:
        main(["check", str(study)])
    told = capsys.readouterr()
    assert ended.value.code in (0, None), told.err
    assert "study mine, nothing wrong" in told.out


def test_the_readme_shows_every_command_and_no_other():
    shown = set(re.findall(r"python -m robustdd (\w+)", README))
    assert shown == set(COMMANDS)


@pytest.mark.parametrize("document", DOCUMENTS)
def test_links_lead_to_files(document):
    path = ROOT / document
    for target in re.findall(r"\]\(([^)#]+)\)", path.read_text(encoding="utf-8")):
        assert target.startswith("https://") or (path.parent / target).exists(), target


def test_stages_of_the_readme_are_those_of_dvc():
    stages = set(YAML(typ="safe").load(ROOT / "dvc.yaml")["stages"])
    table = README[README.index("| stage |") : README.index("Every equation has one home")]
    told = {
        name for cell in re.findall(r"^\| (`[^|]+) \|", table, re.MULTILINE) for name in re.findall(r"`([\w-]+)`", cell)
    }
    assert told == stages - {"code"}, "which makes no artifact"


def test_the_citation_names_the_paper_and_the_version():
    citation = YAML(typ="safe").load(ROOT / "CITATION.cff")
    assert citation["references"][0]["title"].startswith("Robust Trajectory Distillation")
    assert f'version = "{citation["version"]}"' in (ROOT / "pyproject.toml").read_text()
    assert citation["license"] == "MIT" and "MIT License" in (ROOT / "LICENSE").read_text()


FORBIDDEN = {"pickle", "cPickle", "dill", "joblib", "cloudpickle", "shelve", "marshal"}


def test_nothing_is_unpickled_evaluated_or_handed_to_a_shell():
    for path in sorted(path for folder in ("robustdd", "tasks", "flows") for path in (ROOT / folder).rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            imported = [*getattr(node, "names", [])] if isinstance(node, ast.Import | ast.ImportFrom) else []
            modules = {alias.name.split(".")[0] for alias in imported} | {
                str(getattr(node, "module", None)).split(".")[0]
            }
            # The one unpickler, which imports and calls nothing: tests/data/test_datasets_unpickling.py.
            assert not modules & FORBIDDEN - ({"pickle"} if path.name == "unpickling.py" else set()), path
            if isinstance(node, ast.Call):
                called = ast.unparse(node.func)
                assert called not in {"eval", "exec", "yaml.load", "os.system", "os.popen"}, path
                given = {(keyword.arg, ast.unparse(keyword.value)) for keyword in node.keywords}
                if called == "torch.load":
                    assert path.name == "human.py" and ("weights_only", "True") in given, path
                assert not given & {("shell", "True"), ("allow_pickle", "True"), ("weights_only", "False")}, path
