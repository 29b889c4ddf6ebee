import json
import socket

import pytest
from transformers import AutoConfig

from desta2.errors import ConfigError
from desta2.model import Desta2Config
from desta2.model.configuration import default_tap_layers


@pytest.mark.parametrize(
    ("depth", "taps"),
    [(12, [2, 5, 8, 11]), (32, [7, 15, 23, 31]), (4, [0, 1, 2, 3]), (2, [0, 1]), (24, [5, 11, 17, 23])],
)
def test_default_taps_follow_the_depth(depth, taps):
    assert default_tap_layers(depth) == taps
    assert Desta2Config(encoder_layers=depth).tap_layers == taps


def test_round_trip_through_auto_config(tmp_path):
    config = Desta2Config(
        llm_id="../llm", n_queries=7, tap_layers=[-1, 3], system_prompt=None, output_scale=0.5
    )
    config.save_pretrained(tmp_path)
    loaded = AutoConfig.from_pretrained(tmp_path)
    assert isinstance(loaded, Desta2Config)
    for name in ("llm_id", "n_queries", "tap_layers", "system_prompt", "output_scale", "adapter_dropout"):
        assert getattr(loaded, name) == getattr(config, name)


def test_saved_file_states_defaults_too(tmp_path):
    Desta2Config().save_pretrained(tmp_path)
    saved = json.loads((tmp_path / "config.json").read_text())
    assert saved["model_type"] == "desta2"
    assert (saved["n_queries"], saved["tap_layers"], saved["layout"]) == (64, [2, 5, 8, 11], "desta2")


def test_no_network(monkeypatch, tmp_path):
    def refuse(*_, **__):
        raise AssertionError("network used")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    config = Desta2Config(llm_id="meta-llama/Meta-Llama-3-8B-Instruct", encoder_id="openai/whisper-small")
    assert "whisper-small" in repr(config)
    config.save_pretrained(tmp_path)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"n_querys": 3}, "unknown configuration key 'n_querys'; did you mean 'n_queries'"),
        ({"layout": "desta3"}, "layout is 'desta3'; it must be one of 'desta2', 'desta2.5'"),
        (
            {"encoder_frames": "some"},
            "encoder_frames is 'some'; it must be one of 'all', 'speech'",
        ),
        (
            {"bos_policy": "double"},
            "bos_policy is 'double'; it must be one of 'template', 'published-inference'",
        ),
        ({"tap_layers": [2, 12]}, r"tap_layers is \[2, 12\]; it must name layers from -1 .* to 11"),
        ({"tap_layers": []}, "must name layers"),
        ({"tap_layers": [3, 3]}, "each layer may be named once"),
        ({"adapter_heads": 7}, "adapter_heads is 7; it must divide d_encoder, which is 768"),
        ({"n_queries": 0}, "n_queries is 0; it must be a whole number of at least 1"),
        ({"n_queries": "64"}, "n_queries is '64'"),
        ({"adapter_dropout": 1.0}, "adapter_dropout is 1.0"),
    ],
)
def test_impossible_values_are_refused(values, message):
    with pytest.raises(ConfigError, match=message):
        Desta2Config(**values)


def test_speech_is_looked_for_as_published_unless_told_otherwise(tmp_path):
    assert [Desta2Config(layout=layout).detect_speech for layout in ("desta2", "desta2.5")] == [False, True]
    assert Desta2Config(layout="desta2", detect_speech=True).detect_speech is True
    Desta2Config(layout="desta2.5", detect_speech=False).save_pretrained(tmp_path)
    assert Desta2Config.from_pretrained(tmp_path).detect_speech is False


def test_the_limit_of_clips_is_positive():
    assert Desta2Config().max_clip_seconds == 600
    with pytest.raises(ConfigError, match="max_clip_seconds is 0; it must be above 0"):
        Desta2Config(max_clip_seconds=0)
