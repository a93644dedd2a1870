"""The command line as a user meets it: help, errors as one line, exit codes, pipes."""

import argparse
import io
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from launcher import commands
from launcher.cli import main
from launcher.output import Output

RENDER = ["render", "--image=a/b:1", "--data=gs://bucket/d", "--run-root=gs://bucket/r"]
RENDER.append("--cache-size=4Gi")


@pytest.fixture(autouse=True)
def nowhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No settings file and no cluster but those that a test makes."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.delenv("KUBECONFIG", raising=False)


@pytest.mark.parametrize("argv", [[], ["--help"], ["-h"], ["help"]])
def test_help_names_every_command(argv: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    """Every command has its sentence and its group."""
    assert main(argv) == 0
    text = capsys.readouterr().out
    for name in commands.names():
        assert f"  {name} " in text
        assert commands.load(name).HELP in text


@pytest.mark.parametrize("name", commands.names())
def test_every_command_has_help(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    """The help is short on usage, and has common options and a sentence ending in a full stop."""
    assert main([name, "--help"]) == 0
    text = capsys.readouterr().out
    assert text.startswith(f"usage: launcher {name}")
    assert "--namespace" in text
    assert commands.load(name).HELP.endswith(".")
    assert name == commands.load(name).NAME


@pytest.mark.parametrize(
    ("argv", "flag"),
    [
        (RENDER, "--learning_rate=X"),
        (["make-tfrecords", "--source=a", "--output=b"], "--shorter_side="),
        (["predict", "--model=a", "--images=b", "--output=c"], "--top_k="),
    ],
)
def test_the_flags_of_the_job_have_help_too(
    argv: list[str], flag: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """`-- --help` lists what may stand behind the dashes."""
    assert main([*argv, "--", "--help"]) == 0
    text = capsys.readouterr().out
    assert text.startswith(f"usage: launcher {argv[0]} [options] -- ")
    assert flag in text


@pytest.mark.parametrize(
    ("argv", "code", "message"),
    [
        (["sumbit"], 2, "unknown command 'sumbit'; did you mean submit?"),
        (["xyzzy"], 2, "launcher --help lists the commands"),
        ([*RENDER, "--gpuz", "8"], 2, "unrecognized arguments: --gpuz 8; did you mean --gpus?"),
        ([*RENDER, "--epochs=3"], 2, "goes after --: launcher render -- --epochs=VALUE"),
        ([*RENDER, "--zz=3"], 2, "flags of the job itself go after --"),
        ([*RENDER, "--", "--epoch=3"], 2, "unknown flag --epoch; did you mean '--epochs'?"),
        ([*RENDER, "--", "--optimiser=a"], 2, "unknown flag --optimiser; --help lists them all"),
        ([*RENDER, "--gpus", "many"], 2, "--gpus must be a whole number"),
        ([*RENDER, "--name", "A B"], 2, "try 'a-b'"),
        (["version", "--", "x"], 2, "version takes no flags after --"),
        (["render", "--profile", "x"], 3, "there is no launcher.yaml"),
        (["render", "--kubeconfig", "/nowhere", *RENDER[1:]], 2, "/nowhere cannot be read"),
        (["tensorboard", "nightly"], 3, "there is no folder runs/nightly/logs"),
        (["logs", "nightly"], 3, "no such logs are kept in runs/nightly"),
        (["logs", "s3://bucket/run"], 2, "error: s3://bucket/run: s3:// is not supported"),
        (["status", "s3://bucket/run"], 2, "error: s3://bucket/run: s3:// is not supported"),
        (["status", "nightly"], 3, "runs/nightly is no run directory"),
        (["submit"], 2, "begin with `launcher init`"),
        (["submit", "--data=/nowhere"], 3, "there is no dataset in /nowhere; make one"),
        (["submit", "--data=/nowhere", "--gpus=8"], 2, "--gpus 0 trains on its CPUs"),
        (["list", "-n", "Not Valid"], 2, "namespace 'Not Valid'"),
        (["image", "build", "--image", "a:1", "--tool", "buildah"], 3, ""),
        (["image", "build"], 2, "no image"),
    ],
)  # fmt: skip
def test_errors_are_one_line(
    argv: list[str], code: int, message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """What is wrong, how to mend it, the documented exit code, and no traceback."""
    assert main(argv) == code
    printed = capsys.readouterr()
    assert printed.err.startswith("error: ")
    assert printed.err.count("\n") == 1
    assert message in printed.err
    assert printed.out == ""


def test_common_options_may_stand_before_the_command(capsys: pytest.CaptureFixture[str]) -> None:
    """`launcher -n x render` is `launcher render -n x`."""
    assert main(["-n", "early", *RENDER]) == 0
    assert job_of(capsys)["metadata"]["namespace"] == "early"


def test_render_and_a_clients_dry_run_are_the_same(capsys: pytest.CaptureFixture[str]) -> None:
    """`submit --dry-run client` prints what `render` prints."""
    assert main([*RENDER, "--gpus=8", "--", "--epochs=3"]) == 0
    shown = capsys.readouterr().out
    assert main(["submit", *RENDER[1:], "--gpus=8", "--dry-run=client", "--", "--epochs=3"]) == 0
    assert capsys.readouterr().out == shown


def job_of(capsys: pytest.CaptureFixture[str]) -> dict[str, Any]:
    """Read the first of the manifests that were printed."""
    job: dict[str, Any] = next(yaml.safe_load_all(capsys.readouterr().out))
    return job


def test_render_as_json(capsys: pytest.CaptureFixture[str]) -> None:
    """`-o json` holds the same manifest."""
    main(RENDER)
    manifests = list(yaml.safe_load_all(capsys.readouterr().out))
    main([*RENDER, "-o", "json"])
    assert json.loads(capsys.readouterr().out)["items"] == manifests


def test_the_namespace_comes_from_the_kubeconfig(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """--namespace, then the profile, then the kubeconfig's context, then default."""
    main(RENDER)
    assert job_of(capsys)["metadata"]["namespace"] == "default"
    contexts = [{"name": "c", "context": {"cluster": "x", "namespace": "from-context"}}]
    config = {"current-context": "c", "contexts": contexts}
    (tmp_path / "kube").write_text(yaml.safe_dump(config))
    monkeypatch.setenv("KUBECONFIG", f"/nowhere{os.pathsep}{tmp_path / 'kube'}")
    main(RENDER)
    assert job_of(capsys)["metadata"]["namespace"] == "from-context"
    Path("launcher.yaml").write_text("defaults: {namespace: from-file}")
    main(RENDER)
    assert job_of(capsys)["metadata"]["namespace"] == "from-file"


def test_init_writes_what_render_reads(capsys: pytest.CaptureFixture[str]) -> None:
    """The file of `init` is complete, is not overwritten, and hostile answers stay answers."""
    answers = ["--image=a/b:1", "--data=gs://bucket/d", "--run-root=gs://bucket/x: y", "--gpus=8"]
    assert main(["init", "--non-interactive", "--profile=my team", *answers]) == 0
    assert main(["init", "--non-interactive", *answers]) == 1
    assert "already there" in capsys.readouterr().err
    assert main(["render", "--cache-size=4Gi", "--name=n"]) == 0
    manifest = job_of(capsys)
    assert manifest["metadata"]["annotations"]["food101/run"] == "gs://bucket/x: y/n"


def test_a_closed_pipe_is_no_error() -> None:
    """`launcher render | head -1` ends quietly."""
    code = f"import sys; from launcher.cli import main; sys.exit(main({[*RENDER]!r}))"
    shell = f'"{sys.executable}" -c "{code}" | head -1'
    root = Path(__file__).parents[3]
    answer = subprocess.run(
        ["bash", "-c", shell], capture_output=True, text=True, cwd=root, check=True
    )
    assert answer.stdout.startswith("apiVersion")
    assert answer.stderr == ""


def test_output_without_a_terminal_is_plain() -> None:
    """No colour in a pipe, and control characters of a cluster never reach a terminal."""
    stdout, stderr = io.StringIO(), io.StringIO()
    output = Output(stdout, stderr, {})
    output.table(["NAME", "STATE"], [[output.style("a", "green"), "x"], ["longer", "y"]])
    assert stdout.getvalue() == "NAME     STATE\na        x\nlonger   y\n"
    output.warn("evil \x1b[2J text")
    assert "\x1b" not in stderr.getvalue()


def test_init_asks_until_an_answer_fits() -> None:
    """What the cluster does not have is taken with a remark; a wrong value is asked for again."""
    from launcher.context import Context
    from launcher.settings import questions

    said = io.StringIO()
    context = Context(
        argparse.Namespace(),
        output=Output(io.StringIO(), said, {}),
        environ={},
        stdin=io.StringIO("Vision\nvision\nnvidia-l5\n\nswarm\njobset\n"),
    )
    found = {"accelerator": ["nvidia-l4"], "backend": ["tfjob", "jobset"]}
    answers = questions.ask(("namespace", "accelerator", "queue", "backend"), {}, found, context)
    assert "namespace 'Vision' must" in said.getvalue()
    assert answers == {"namespace": "vision", "accelerator": "nvidia-l5", "backend": "jobset"}
    assert "(there: nvidia-l4)" in said.getvalue()
    assert "the cluster has no 'nvidia-l5' now" in said.getvalue()
    assert "backend must be one of auto, tfjob, jobset, local, not 'swarm'" in said.getvalue()


@pytest.mark.parametrize(
    ("address", "entry"),
    [
        ("https://hooks.example/x", {"name": "NOTIFY_URL", "value": "https://hooks.example/x"}),
        (
            "chat/url",
            {
                "name": "NOTIFY_URL",
                "valueFrom": {"secretKeyRef": {"name": "chat", "key": "url"}},
            },
        ),
    ],
)
def test_an_address_to_notify_becomes_a_variable_or_a_secret(
    address: str, entry: dict[str, object], capsys: pytest.CaptureFixture[str]
) -> None:
    """And what follows training is a flag of the trainer, wherever it was typed."""
    argv = [*RENDER, "--backend=tfjob", "-n=team", "--notify", address, "--then=evaluate", "--"]
    assert main([*argv, "--epochs=3"]) == 0
    manifest = next(yaml.safe_load_all(capsys.readouterr().out))
    worker = manifest["spec"]["tfReplicaSpecs"]["Worker"]["template"]["spec"]["containers"][0]
    assert entry in worker["env"]
    assert {"--then=evaluate", "--epochs=3.0"} <= set(worker["args"])
    assert "hooks" not in json.dumps(manifest["metadata"])
