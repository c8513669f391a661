"""Tokens a second, share of the card's arithmetic, and peak memory of QLoRA and LoRA, beside plain TRL on the same chats.

Both read the same chats. Ours packs them into rows and computes logits of answers alone, TRL pads batches of 8 to the
longest: its defaults. Tokens count without padding. The share of the card is by the 4N rule: forward and the gradient of
activations cost 2 operations each per token and matrix weight, activations that are computed again and attention's
products are not counted.
"""

import math
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any

import torch
from datasets import Dataset
from peft import LoraConfig
from transformers import PrinterCallback, TrainerCallback
from trl import SFTConfig, SFTTrainer

from bench.gpu.machine import now
from bench.gpu.random_models import SHRUNK, device_here, matrix_parameters, random_chats, random_model, rounded, shape
from pipelines.backends.examples import IGNORED, EncodedExample
from pipelines.backends.torch.attention import with_fitting_attention
from pipelines.backends.torch.callbacks import Tally
from pipelines.backends.torch.data import RowCollator, as_dataset
from pipelines.backends.torch.device import Choices, choose
from pipelines.backends.torch.load import keep_trained_in_float32, load_padding, with_lora
from pipelines.backends.torch.settings import trainer_settings
from pipelines.backends.torch.trainer import RowTrainer
from pipelines.recipe import Train
from pipelines.tokenizer import ChatTokenizer

H100_BF16_FLOPS = 989e12
_TINY = Path("models/tiny")
# so many steps; without CUDA the fewest that tell anything, since nothing is measured there
_WARM_UP, _MEASURED = (2, 4) if device_here() == "cuda" else (1, 2)
_ROWS_A_STEP = 2


@dataclass(frozen=True)
class Variant:
    """One way to train: rows of so many tokens, activations kept or computed again, which attention (see Choices) and optimizer."""

    name: str
    row_tokens: int
    checkpointing: bool = True
    attention: str = "auto"
    optimizer: str = "adamw_torch"


def qlora_7b() -> dict[str, Any]:
    """7B in NF4: rows of 4k and of 8k, of 4k with a mask over the whole row and with the guide's optimizer, and plain TRL."""
    variants = [
        Variant("rows of 4k", 4096),
        Variant("rows of 8k", 8192),
        Variant("rows of 4k, masked attention", 4096, attention="sdpa"),
        Variant("rows of 4k, paged_adamw_8bit", 4096, optimizer="paged_adamw_8bit"),
    ]
    return _measure("7B", "qlora", variants, trl=True)


def lora_7b() -> dict[str, Any]:
    """7B in bfloat16: rows of 4k and of 8k, of 4k with activations kept, and plain TRL."""
    variants = [
        Variant("rows of 4k", 4096),
        Variant("rows of 8k", 8192),
        Variant("rows of 4k, activations kept", 4096, checkpointing=False),
    ]
    return _measure("7B", "lora", variants, trl=True)


def qlora_32b() -> dict[str, Any]:
    """32B in NF4: whether five steps fit, and their speed."""
    return _measure("32B", "qlora", [Variant("rows of 4k", 4096)], trl=False)


def _measure(size: str, method: str, variants: Sequence[Variant], *, trl: bool) -> dict[str, Any]:
    device = device_here()
    if device == "cpu":
        variants = [replace(one, row_tokens=one.row_tokens // SHRUNK) for one in variants]
    figures: dict[str, Any] = {}
    for variant in variants:
        figures[variant.name] = _try(partial(ours, size, method, variant, device), device)
    if trl:
        figures["plain trl"] = _try(partial(plain_trl, size, method, variants[0], device), device)
        speeds = [one.get("tokens_per_second") for one in (figures[variants[0].name], figures["plain trl"])]
        if all(speeds):
            figures["times_plain_trl"] = round(speeds[0] / speeds[1], 2)
    passed = all("error" not in figures[one.name] for one in variants)
    return {"device": device, "size": size, "method": method, "passed": passed} | figures


def _try(part: Callable[[], dict[str, Any]], device: str) -> dict[str, Any]:
    """What was measured, or why not: a variant that does not fit costs no other."""
    try:
        return part()
    except torch.OutOfMemoryError as error:
        return {"error": f"out of memory: {str(error).splitlines()[0][:200]}"}
    finally:
        if device == "cuda":
            torch.cuda.empty_cache()
            torch.cuda.reset_peak_memory_stats()


def ours(size: str, method: str, variant: Variant, device: str) -> dict[str, Any]:
    """Our trainer's speed, with the choices that it makes itself but for the variant's."""
    config = shape(size, device)
    recipe = Train.model_validate({"method": method, "optimizer": variant.optimizer, "max_tokens": variant.row_tokens})
    choices = replace(
        choose(recipe, matrix_parameters(config), None),
        row_tokens=variant.row_tokens,
        activation_checkpointing=variant.checkpointing and device == "cuda",
        attention=variant.attention,
    )
    with tempfile.TemporaryDirectory() as folder:
        trainer, clock = build_trainer(config, recipe, choices, device, Path(folder))
        trainer.train()
    return {"attention": clock.attention} | _figures(clock, matrix_parameters(config), device)


def build_trainer(
    config: Any, recipe: Train, choices: Choices, device: str, folder: Path, *, anchors: bool = False
) -> tuple[RowTrainer, "StepClock"]:
    """Our trainer on a random model and chats that fill two rows a step, and the clock that times its steps.

    `anchors` makes anchors of all chats, which get the KL term where the recipe has one.
    """
    model = random_model(config, device, nf4=recipe.method == "qlora", attention="sdpa")
    attention = with_fitting_attention(model, choices).why["attention"]
    chats = random_chats(_ROWS_A_STEP * choices.row_tokens * (_WARM_UP + _MEASURED), config, device)
    chats = [replace(chat, anchor=anchors) for chat in chats]
    tokenizer, tally = ChatTokenizer(_TINY), Tally()
    clock = StepClock(device, lambda: (tally.tokens, tally.trained_tokens), attention)
    settings = trainer_settings(
        recipe,
        choices,
        folder,
        evaluates=False,
        save_strategy="no",
        max_steps=_WARM_UP + _MEASURED,
        per_device_train_batch_size=max(1, len(chats) // (_WARM_UP + _MEASURED)),
    )
    trainer = RowTrainer(
        model=with_lora(model, "random", recipe),
        args=settings,
        train_dataset=as_dataset(chats),
        processing_class=load_padding(tokenizer, _TINY),
        callbacks=[tally, clock],
        collator=RowCollator(tokenizer.pad_id, choices.row_tokens, anchors_apart=recipe.kl.weight > 0),
        tally=tally,
        kl_weight=recipe.kl.weight,
    )
    trainer.remove_callback(PrinterCallback)
    keep_trained_in_float32(trainer.model)
    return trainer, clock


def plain_trl(size: str, method: str, variant: Variant, device: str) -> dict[str, Any]:
    """SFTTrainer as its documentation starts it: batches of 8, padded, its own loss and precision."""
    config = shape(size, device)
    model = random_model(config, device, nf4=method == "qlora", attention="sdpa")
    chats = random_chats(_ROWS_A_STEP * variant.row_tokens * (_WARM_UP + _MEASURED), config, device)
    tokenizer, counted = ChatTokenizer(_TINY), [0, 0]
    clock = StepClock(device, lambda: (counted[0], counted[1]))
    with tempfile.TemporaryDirectory() as folder:
        trainer = SFTTrainer(
            model=model,
            args=SFTConfig(
                folder,
                max_steps=min(_WARM_UP + _MEASURED, math.ceil(len(chats) / 8)),
                use_cpu=device == "cpu",
                bf16=device == "cuda",
                activation_checkpointing=True,  # its default, by its new name
                max_length=None,
                report_to="none",
                save_strategy="no",
                disable_tqdm=True,
                remove_unused_columns=False,
                dataset_kwargs={"skip_prepare_dataset": True},
            ),
            train_dataset=_for_trl(chats),
            processing_class=load_padding(tokenizer, _TINY),
            peft_config=LoraConfig(r=16, lora_alpha=32, target_modules="all-linear", task_type="CAUSAL_LM"),
            callbacks=[clock],
        )
        trainer.data_collator = _counting(trainer.data_collator, counted)
        trainer.train()
    return _figures(clock, matrix_parameters(config), device)


def _for_trl(chats: Sequence[EncodedExample]) -> Dataset:
    return Dataset.from_dict(
        {"input_ids": [list(chat.ids) for chat in chats], "labels": [list(chat.labels) for chat in chats]}
    )


def _counting(collate: Callable[[Any], Any], counted: list[int]) -> Callable[[Any], Any]:
    """The same collator, which adds up what it is given without padding."""

    def count(examples: Sequence[dict[str, Any]]) -> Any:
        counted[0] += sum(len(one["input_ids"]) for one in examples)
        counted[1] += sum(sum(label != IGNORED for label in one["labels"]) for one in examples)
        return collate(examples)

    return count


class StepClock(TrainerCallback):  # type: ignore[misc]  # transformers has no types
    """Seconds and tokens of each step; `attention` says which was taken, and why."""

    def __init__(self, device: str, tokens: Callable[[], tuple[int, int]], attention: str = "") -> None:
        self._device, self._tokens = device, tokens
        self.attention = attention
        self.marks: list[tuple[float, int, int]] = []
        self.optimizer_seconds: list[float] = []
        self._optimizer_started = 0.0

    def on_step_begin(self, *args: Any, **rest: Any) -> None:
        """A mark before the first step."""
        if not self.marks:
            self._mark()

    def on_step_end(self, *args: Any, **rest: Any) -> None:
        """A mark after each step."""
        self._mark()

    def on_pre_optimizer_step(self, *args: Any, **rest: Any) -> None:
        """The optimizer begins."""
        self._optimizer_started = now(self._device)

    def on_optimizer_step(self, *args: Any, **rest: Any) -> None:
        """The optimizer has ended."""
        self.optimizer_seconds.append(now(self._device) - self._optimizer_started)

    def _mark(self) -> None:
        self.marks.append((now(self._device), *self._tokens()))


def _figures(clock: StepClock, matrix_weights: int, device: str) -> dict[str, Any]:
    """Of the steps after the warm-up."""
    warm_up = min(_WARM_UP, len(clock.marks) - 2)
    (started, tokens_before, trained_before), (ended, tokens, trained) = clock.marks[warm_up], clock.marks[-1]
    speed = (tokens - tokens_before) / (ended - started)
    figures: dict[str, Any] = {
        "steps": len(clock.marks) - 1 - warm_up,
        "tokens_a_step": (tokens - tokens_before) // (len(clock.marks) - 1 - warm_up),
        "tokens_per_second": speed,
        "loss_tokens_per_second": (trained - trained_before) / (ended - started),
        "step_seconds": (ended - started) / (len(clock.marks) - 1 - warm_up),
        "optimizer_seconds": median(clock.optimizer_seconds[warm_up:]),
        "first_step_seconds": clock.marks[1][0] - clock.marks[0][0],
    }
    if device == "cuda":
        figures["mfu"] = 4 * matrix_weights * speed / H100_BF16_FLOPS
        figures["peak_gib"] = torch.cuda.max_memory_allocated() / 2**30
    return rounded(figures)
