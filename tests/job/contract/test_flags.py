"""One typed source of truth: configurations, flags and container arguments agree."""

import dataclasses

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from job.contract import configs, flags
from job.contract.errors import ConfigError
from job.contract.options import is_required, value_types

CONFIG_CLASSES = [
    configs.DownloadConfig,
    configs.RecordsConfig,
    configs.TrainConfig,
    configs.EvaluateConfig,
    configs.ExportConfig,
    configs.PredictConfig,
]
_TEXT = st.text(st.characters(codec="utf-8", exclude_characters="\0"))


def _values(field: dataclasses.Field, value_type: type) -> st.SearchStrategy:
    metadata = field.metadata
    if metadata["choices"]:
        return st.sampled_from(metadata["choices"])
    if value_type is str:
        return _TEXT.filter(lambda text: text.strip()) if is_required(field) else _TEXT
    if value_type is bool:
        return st.booleans()
    low, high = metadata["low"], metadata["high"]
    if value_type is int:
        return st.integers(int(low or 0), int(high) if high is not None else 2**40)
    return st.floats(low, high, allow_nan=False, allow_infinity=False)


@st.composite
def configurations(draw):
    """Any configuration that its own checks accept."""
    config_class = draw(st.sampled_from(CONFIG_CLASSES))
    types = value_types(config_class)
    values = {}
    for field in dataclasses.fields(config_class):
        if is_required(field) or draw(st.booleans()):
            values[field.name] = draw(_values(field, types[field.name]))
    try:
        return configs.from_dict(config_class, values)
    except ConfigError:
        return configs.from_dict(
            config_class,
            {f.name: values[f.name] for f in dataclasses.fields(config_class) if is_required(f)},
        )


@given(configurations())
@settings(max_examples=300, deadline=None)
def test_arguments_give_back_the_configuration(original):
    """Every configuration survives the way through a container's arguments."""
    assert flags.parse(type(original), flags.to_args(original)) == original


@given(configurations())
@settings(max_examples=100, deadline=None)
def test_config_json_gives_back_the_configuration(original):
    """What a run's config.json holds is the whole configuration."""
    assert configs.from_dict(type(original), configs.to_dict(original)) == original


def test_flags_override_the_file_which_overrides_the_preset(tmp_path):
    file = tmp_path / "recipe.yaml"
    file.write_text("preset: article\nepochs: 3\nflip: true\nlearning_rate: 0.5\n")
    parsed = flags.parse(
        configs.TrainConfig, [f"--config={file}", "--data=d", "--run=r", "--learning_rate=0.25"]
    )
    assert parsed.crop_margin_px == 20  # the preset's
    assert (parsed.epochs, parsed.flip) == (3.0, True)  # the file's
    assert parsed.learning_rate == 0.25  # the flag's


def test_a_flag_can_restore_a_default_that_the_preset_changes():
    parsed = flags.parse(configs.TrainConfig, ["--data=d", "--run=r", "--preset=article", "--flip"])
    assert parsed.flip
    assert flags.parse(configs.TrainConfig, flags.to_args(parsed)) == parsed


@pytest.mark.parametrize(
    ("args", "words"),
    [
        ([], "missing: --data, --run"),
        (["--data=d", "--run=r", "--epoch=3"], "unknown flag --epoch; did you mean '--epochs'?"),
        (["--data=d", "--run=r", "--epochs=many"], "many"),
        (["--data=d", "--run=r", "--epochs=nan"], "epochs must be a finite number"),
        (["--data=d", "--run=r", "--momentum=1.5"], "momentum must be at most 0.9999, not 1.5"),
        (["--data=d", "--run=r", "--head=fcc"], "did you mean 'fc'?"),
        (["--data=d", "--run=r", "--image_size_px=64"], "use --head=gap"),
        (["--data=d", "--run=r", "stray"], "unexpected argument 'stray'"),
        (["--data=", "--run=r"], "data must not be empty"),
        (["--data=d", "--run=r", "--config=absent.yaml"], "absent.yaml"),
    ],
)
def test_a_bad_argument_is_named_with_a_way_out(args, words):
    with pytest.raises(ConfigError) as caught:
        flags.parse(configs.TrainConfig, args)
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("content", ["- a\n- b\n", "{unclosed", "1: 2\n", "epochs: [1]\n"])
def test_a_bad_configuration_file_is_one_clear_error(tmp_path, content):
    file = tmp_path / "bad.yaml"
    file.write_text(content)
    with pytest.raises(ConfigError):
        flags.parse(configs.TrainConfig, ["--data=d", "--run=r", f"--config={file}"])


@pytest.mark.parametrize("config_class", CONFIG_CLASSES)
def test_help_names_every_flag_with_its_default_under_a_group(config_class):
    text = flags.help_text(config_class, "python -m job.x", "Does x.")
    for field in dataclasses.fields(config_class):
        if not field.metadata["positional"]:
            assert f"--{field.name}=" in text or f"--[no]{field.name}" in text
        assert field.metadata["help"].split()[0] in text
    assert max(len(line) for line in text.splitlines()) <= 100


@pytest.mark.parametrize("value", ["s3://bucket/x", "https://host/x", "hdfs://x", "file:///x"])
def test_a_path_in_storage_that_is_not_supported_is_refused_at_once(value):
    with pytest.raises(ConfigError, match="not supported; use gs://bucket/prefix or a local path"):
        flags.parse(configs.ExportConfig, ["--run=a", f"--output={value}"])
