"""Training the adapter, and LoRA on the LLM where it is asked for: from a configuration to a model folder.

Everything here runs in each process of a run. What is written, the first process writes; what is read after
that, such as caches, the others find done.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from transformers import set_seed

from desta2.errors import CheckpointError, ConfigError
from desta2.model import lora
from desta2.model.checkpoint import load_adapter
from desta2.model.modelcard import CardFacts
from desta2.model.modeling import Desta2Model
from desta2.nano import base_id
from desta2.train.benchmark import Benchmark, nano_benchmark
from desta2.train.check import check_run
from desta2.train.checkpoints import read_weights, step_of
from desta2.train.collate import Collator
from desta2.train.config import ModelConfig, RunConfig, TrainConfig
from desta2.train.dataset import ClippedPair, Example, PairDataset, make_example, read_pairs
from desta2.train.features import LiveFeatures, TapCache, write_transcripts
from desta2.train.fit import fit
from desta2.train.processes import join, place
from desta2.train.selfgen import warn_if_not_self_generated


def build_model(config: ModelConfig) -> Desta2Model:
    """The frozen models with a fresh adapter, or with the one that training is to start from."""
    keys = config.model_dump(exclude={"llm", "encoder", "adapter"}, exclude_none=True)
    keys["system_prompt"] = config.system_prompt
    model = Desta2Model.from_bases(base_id("llm", config.llm), base_id("whisper", config.encoder), **keys)
    if config.adapter is not None:
        _start_from(model, config.adapter)
    return model


def _start_from(model: Desta2Model, folder: Path) -> None:
    """The adapter of a model folder, and its LoRA weights where it has any.

    Raises:
        CheckpointError: they do not fit, or the adapter goes with LoRA weights that the model is not to have.
    """
    has_lora = (folder / lora.WEIGHTS_FILE).is_file()
    if has_lora and model.config.lora is None:
        raise CheckpointError(
            f"{folder} was trained with LoRA weights on the LLM; give model.lora to go on with them"
        )
    if has_lora:
        model.load_weights(folder)
    else:
        load_adapter(model.adapter, folder)


def train(config: TrainConfig) -> Path:
    """Train an adapter; continues from the newest checkpoint in `run.output`.

    Args:
        config: the whole run.

    Returns:
        the folder of the trained model, `run.output/model`.

    Raises:
        InputError: pairs or audio cannot be used.
        ConfigError: the configuration is impossible.
        RunError: training changed what must stay frozen, or SIGTERM ended it.
    """
    run, output = config.run, config.run.output
    check_run(config)
    pairs = read_pairs(config.data.train, config.data.audio_root)
    if not pairs:
        raise ConfigError(f"data.train names no pairs: {', '.join(map(str, config.data.train))}")
    processes = join(run)
    set_seed(run.seed)
    model = build_model(config.model)
    place(model, run, processes.device)
    clips = list(dict.fromkeys(clip for _, heard in pairs for clip, _ in heard))
    with processes.main_process_first():
        if processes.is_main_process:
            warn_if_not_self_generated((pair for pair, _ in pairs), model.config)
            output.mkdir(parents=True, exist_ok=True)
        hear = TapCache(output, model, clips) if config.data.cache_taps else LiveFeatures(model, clips)
        if model.config.standardise_taps and config.model.adapter is None:
            model.adapter.calibrate(hear.sample())
        examples = tokenise(pairs, model)
        benchmark = _benchmark(run)
    trained = fit(model, PairDataset(examples, hear), None, Collator(hear.key), run, benchmark)
    if processes.is_main_process:
        card = _card(config, pairs, len(clips), processes.num_processes, step_of(trained))
        model.save_pretrained(output / "model", state_dict=read_weights(trained), card=card)
    processes.wait_for_everyone()
    return output / "model"


def _benchmark(run: RunConfig) -> Benchmark | None:
    return nano_benchmark(run.output / "evaluation", run.evaluate_clips) if run.evaluate else None


def _card(
    config: TrainConfig, pairs: Sequence[ClippedPair], n_clips: int, processes: int, steps: int
) -> CardFacts:
    """What the model card says of a run."""
    run, files = config.run, ", ".join(f"`{path.name}`" for path in config.data.train)
    sources = [f"`{llm}`" for llm in sorted({pair.provenance.llm for pair, _ in pairs})]
    prompts = [f"“{prompt}”" for prompt in sorted({pair.provenance.prompt for pair, _ in pairs})]
    step = f"{run.batch_size} × {run.gradient_accumulation}" + (f" × {processes}" if processes > 1 else "")
    start = (
        "a fresh adapter" if config.model.adapter is None else f"the adapter `{config.model.adapter.name}`"
    )
    return CardFacts(
        training=[
            f"{len(pairs):,} pairs about {n_clips:,} clips, from {files}.",
            f"Responses by {_few(sources)} to {_few(prompts)}.",
            f"{steps:,} steps from {start}, {step} pairs a step, learning rate {run.learning_rate:g}, "
            f"seed {run.seed}.",
        ]
    )


def _few(names: Sequence[str]) -> str:
    return ", ".join(names[:3]) + (f" and {len(names) - 3} others" if len(names) > 3 else "")


def tokenise(pairs: Sequence[ClippedPair], model: Desta2Model) -> list[Example]:
    """Examples of pairs; Whisper writes the transcripts that are missing."""
    assert model.processor is not None
    silent = dict.fromkeys(clip for _, clips in pairs for clip, text in clips if text is None)
    written = write_transcripts(model, list(silent)) if silent else {}
    examples = []
    for pair, clips in pairs:
        transcripts = [written[clip] if text is None else text for clip, text in clips]
        examples.append(make_example(pair, [clip for clip, _ in clips], transcripts, model.processor))
    return examples
