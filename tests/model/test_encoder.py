import pytest
import torch
import torch.nn.functional as F

from desta2.errors import InputError
from desta2.model.encoder import encode
from desta2.model.transcribe import transcribe


def by_hand(encoder, features):
    """The pre-LayerNorm Whisper encoder, written out: [input of layer 0, output of layer 0, …]."""
    x = F.gelu(F.conv1d(features, encoder.conv1.weight, encoder.conv1.bias, padding=1))
    x = F.gelu(F.conv1d(x, encoder.conv2.weight, encoder.conv2.bias, padding=1, stride=2)).transpose(1, 2)
    states = [x + encoder.embed_positions.weight]
    for layer in encoder.layers:
        x, attention = states[-1], layer.self_attn
        normed = layer.self_attn_layer_norm(x)
        q, k, v = (
            projection(normed).unflatten(-1, (attention.num_heads, -1)).transpose(1, 2)
            for projection in (attention.q_proj, attention.k_proj, attention.v_proj)
        )
        weights = (q @ k.transpose(-1, -2) / q.shape[-1] ** 0.5).softmax(-1)
        x = x + attention.out_proj((weights @ v).transpose(1, 2).flatten(2))
        states.append(x + layer.fc2(F.gelu(layer.fc1(layer.final_layer_norm(x)))))
    return states


@pytest.fixture
def features():
    return torch.randn(2, 20, 100, generator=torch.Generator().manual_seed(0))


def test_taps_are_layer_outputs_before_the_final_norm(model, features):
    encoder = model.whisper.get_encoder()
    layers = [-1, 0, 2, 3]
    output = encode(encoder, features, layers)
    with torch.no_grad():
        states = by_hand(encoder, features)
        expected = torch.stack([states[layer + 1] for layer in layers])
        assert output.taps.shape == (4, 2, 50, 16)
        torch.testing.assert_close(output.taps, expected, rtol=1e-4, atol=1e-4)
        torch.testing.assert_close(
            output.last_hidden_state, encoder.layer_norm(states[-1]), rtol=1e-4, atol=1e-4
        )
    assert not output.taps.requires_grad


def test_taps_are_per_clip(model, features):
    encoder = model.whisper.get_encoder()
    both = encode(encoder, features, [1, 3]).taps
    for i in range(2):
        alone = encode(encoder, features[i : i + 1], [1, 3]).taps
        torch.testing.assert_close(both[:, i : i + 1], alone, rtol=1e-4, atol=1e-4)


def test_wrong_features_are_refused(model):
    with pytest.raises(
        InputError, match=r"\(1, 80, 3000\); this Whisper expects \(n_audio, 20 mel bins, 100"
    ):
        encode(model.whisper.get_encoder(), torch.zeros(1, 80, 3000), [0])


def test_transcript_from_a_given_pass_equals_whispers_own(model):
    features = torch.randn(4, 20, 100, generator=torch.Generator().manual_seed(0))
    whisper, tokenizer = model.whisper, model.processor.whisper_tokenizer
    encoded = encode(whisper.get_encoder(), features, [0]).last_hidden_state
    words = transcribe(whisper, tokenizer, encoded, max_new_tokens=8)
    names = {index: token for token, index in whisper.generation_config.lang_to_id.items()}
    spoken = [names[index] for index in whisper.detect_language(features).tolist()]
    own = whisper.generate(features, language=spoken, task="transcribe", max_new_tokens=8, do_sample=False)
    assert words == [text.strip() for text in tokenizer.batch_decode(own, skip_special_tokens=True)]
    assert words == [transcribe(whisper, tokenizer, one[None], max_new_tokens=8)[0] for one in encoded]
    assert all(words)
    assert len(set(words)) > 1


def test_transcript_length_is_kept_inside_the_decoder(model, features):
    output = encode(model.whisper.get_encoder(), features, [0])
    transcribe(
        model.whisper, model.processor.whisper_tokenizer, output.last_hidden_state, max_new_tokens=1000
    )


def test_transcripts_end_where_whispers_own_generation_config_ends_them(model, features, monkeypatch):
    whisper, tokenizer = model.whisper, model.processor.whisper_tokenizer
    encoded = encode(whisper.get_encoder(), features, [0]).last_hidden_state
    expected = transcribe(whisper, tokenizer, encoded, max_new_tokens=5)
    monkeypatch.setattr(whisper.generation_config, "max_length", 9)  # four of them begin the transcript
    assert transcribe(whisper, tokenizer, encoded, max_new_tokens=30) == expected


def test_no_clips_no_transcripts(model):
    empty = torch.zeros(0, 50, 16)
    assert transcribe(model.whisper, model.processor.whisper_tokenizer, empty, max_new_tokens=8) == []
