import json

from cryoexp.report.manifest import command, git_commit, plain, versions


def test_plain_values_are_json():
    value = {"a": float("inf"), "b": [float("-inf"), float("nan"), 1.5], "c": ("x", None)}
    assert json.loads(json.dumps(plain(value), allow_nan=False)) == {
        "a": "inf",
        "b": ["-inf", None, 1.5],
        "c": ["x", None],
    }


def test_versions_name_what_decides_the_numbers():
    assert {"python", "cryoexp", "torch", "numpy"} <= set(versions())
    assert versions()["cryoexp"] != "not installed"


def test_commit_and_command():
    commit = git_commit()
    assert commit is None or len(commit.removesuffix("-dirty")) == 40
    assert command()
