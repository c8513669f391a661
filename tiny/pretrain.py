"""Pretraining of the tiny model from nothing: world -> tokenizer -> Qwen2 weights, in one seeded run on a CPU.

The recipe (docs: models/tiny/README.md): tasks mixed in every batch, rows packed block-diagonally (positions restart
at each conversation and no attention mask is passed), loss on answers only, Muon for the matrices and AdamW for the
rest with a flat then linear rate, float32 weights, bfloat16 autocast where that is faster on this machine, one thread, a
fixed number of steps. The same seed, step count, precision and CPU give the same bits. AdamW alone needed more than three times the steps.
"""

import argparse
import itertools
import json
import logging
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from torch import Tensor
from transformers import PreTrainedTokenizerFast, Qwen2Config, Qwen2ForCausalLM

from pipelines.timing import faster_precision
from tiny.mixture import Turns, conversations
from tiny.tokenizer import END, PAD, START, save_tokenizer, train_tokenizer
from tiny.world import build_world

log = logging.getLogger(__name__)

STEPS = 1240
SEED = 1
ROWS, ROW_TOKENS = 28, 112
LEARNING_RATE, MATRIX_RATE, BETAS, WEIGHT_DECAY = 3e-3, 3e-3, (0.9, 0.98), 0.05
WARMUP_STEPS, FLAT_SHARE, LAST_RATE_SHARE = 100, 0.6, 0.02
ROPE_THETA = 10_000.0
IGNORED = -100

Progress = Callable[[int, int, float], None]


@dataclass(frozen=True)
class PretrainReport:
    """What a run did; `loss` is the mean of the last 100 steps in nats per answer token."""

    steps: int
    seed: int
    parameters: int
    tokens: int
    conversations: int
    loss: float
    seconds: float
    size_bytes: int
    precision: str


@dataclass(frozen=True)
class Trained:
    """Tokens and conversations seen, the loss of every step, and the precision with the seconds that chose it."""

    tokens: int
    conversations: int
    losses: list[float]
    precision: str


@dataclass(frozen=True)
class Batch:
    """Packed rows; positions restart at 0 with every conversation, labels are IGNORED outside answers."""

    ids_BT: Tensor
    labels_BT: Tensor
    positions_BT: Tensor
    tokens: int
    conversations: int


def pretrain(out: Path, steps: int = STEPS, seed: int = SEED, progress: Progress | None = None) -> PretrainReport:
    """Train the tiny model and write it to `out` in Hugging Face format (bf16 safetensors)."""
    started = time.monotonic()
    torch.manual_seed(seed)
    world = build_world()
    tokenizer = train_tokenizer(world, seed)
    model = build_model(tokenizer)
    stream = batches(tokenizer, conversations(world, seed))
    trained = train(model, itertools.islice(stream, steps), steps, progress)
    size = save(model, tokenizer, out)
    report = PretrainReport(
        steps=steps,
        seed=seed,
        parameters=sum(p.numel() for p in model.parameters()),
        tokens=trained.tokens,
        conversations=trained.conversations,
        loss=sum(trained.losses[-100:]) / len(trained.losses[-100:]),
        seconds=round(time.monotonic() - started, 1),
        size_bytes=size,
        precision=trained.precision,
    )
    (out / "pretraining.json").write_text(json.dumps(asdict(report), indent=2) + "\n", encoding="utf-8")
    return report


def build_model(tokenizer: PreTrainedTokenizerFast) -> Qwen2ForCausalLM:
    """An untrained Qwen2 of 3.7 M parameters; both widths are multiples of 256, which K-quants need."""
    config = Qwen2Config(
        vocab_size=len(tokenizer),
        hidden_size=256,
        intermediate_size=768,
        num_hidden_layers=4,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=1024,
        rope_parameters={"rope_type": "default", "rope_theta": ROPE_THETA},
        tie_word_embeddings=True,
        bos_token_id=None,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
        attn_implementation="eager",
    )
    return Qwen2ForCausalLM(config)


def train(model: Qwen2ForCausalLM, stream: Iterator[Batch], steps: int, progress: Progress | None) -> Trained:
    """Train in place over the whole stream, in the precision that the first batch is sooner done in."""
    optimizers = build_optimizers(model)
    groups = [(group, group["lr"]) for optimizer in optimizers for group in optimizer.param_groups]
    tokens = count = 0
    losses: list[float] = []
    model.train()
    bf16, why = False, ""
    for step, batch in enumerate(stream):
        if step == 0:
            bf16, why = _time_precisions(model, batch)
        for group, full_rate in groups:
            group["lr"] = full_rate * rate(step, steps)
        loss = answer_loss(model, batch, bf16=bf16)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        for optimizer in optimizers:
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)
        tokens, count = tokens + batch.tokens, count + batch.conversations
        losses.append(loss.item())
        if progress is not None:
            progress(step + 1, steps, losses[-1])
    return Trained(tokens, count, losses, f"{'bfloat16 autocast' if bf16 else 'float32'}: {why}")


def _time_precisions(model: Qwen2ForCausalLM, batch: Batch) -> tuple[bool, str]:
    """Whether to autocast to bfloat16, by forward and backward of one batch both ways; leaves no gradient behind."""
    chosen = faster_precision(lambda bf16: answer_loss(model, batch, bf16=bf16).backward())
    model.zero_grad(set_to_none=True)
    return chosen


def build_optimizers(model: Qwen2ForCausalLM) -> list[torch.optim.Optimizer]:
    """Muon (Jordan et al. 2024) for the hidden matrices, AdamW for embeddings, biases and norms."""
    hidden = {name for name, p in model.named_parameters() if p.ndim == 2 and "embed" not in name}
    matrices = [p for name, p in model.named_parameters() if name in hidden]
    others = [p for name, p in model.named_parameters() if name not in hidden]
    return [
        torch.optim.Muon(matrices, lr=MATRIX_RATE, weight_decay=WEIGHT_DECAY, adjust_lr_fn="match_rms_adamw"),
        torch.optim.AdamW(others, lr=LEARNING_RATE, betas=BETAS, weight_decay=WEIGHT_DECAY, fused=True),
    ]


def rate(step: int, steps: int) -> float:
    """Share of the full learning rate: a warm-up, flat for 60 % of the run, then linear to 2 %."""
    done = step / steps
    decay = 1.0 if done < FLAT_SHARE else max(LAST_RATE_SHARE, 1 - (done - FLAT_SHARE) / (1 - FLAT_SHARE))
    return min(1.0, (step + 1) / WARMUP_STEPS) * decay


def answer_loss(model: Qwen2ForCausalLM, batch: Batch, *, bf16: bool) -> Tensor:
    """Mean cross entropy over answer tokens, in nats; only their logits are computed."""
    targets_BT = batch.labels_BT[:, 1:]
    answered_BT = targets_BT != IGNORED
    with torch.autocast("cpu", dtype=torch.bfloat16, enabled=bf16):
        output = model.model(input_ids=batch.ids_BT, position_ids=batch.positions_BT, use_cache=False)
        logits_NV = model.lm_head(output.last_hidden_state[:, :-1][answered_BT])
    return torch.nn.functional.cross_entropy(logits_NV.float(), targets_BT[answered_BT])


def batches(tokenizer: PreTrainedTokenizerFast, stream: Iterator[Turns]) -> Iterator[Batch]:
    """Pack conversations into rows of ROW_TOKENS; one that does not fit opens the next row, one too long is skipped."""
    encoded = (pair for turns in stream if len((pair := encode(tokenizer, turns))[0]) <= ROW_TOKENS)
    waiting = next(encoded)
    while True:
        ids_BT = torch.full((ROWS, ROW_TOKENS), tokenizer.convert_tokens_to_ids(PAD))
        labels_BT = torch.full((ROWS, ROW_TOKENS), IGNORED)
        positions_BT = torch.arange(ROW_TOKENS).repeat(ROWS, 1)
        tokens = count = 0
        for row in range(ROWS):
            start = 0
            while start + len(waiting[0]) <= ROW_TOKENS:
                ids, labels = waiting
                stop = start + len(ids)
                ids_BT[row, start:stop] = torch.tensor(ids)
                labels_BT[row, start:stop] = torch.tensor(labels)
                positions_BT[row, start:] = torch.arange(ROW_TOKENS - start)
                start, tokens, count = stop, tokens + len(ids), count + 1
                waiting = next(encoded)
            positions_BT[row, start:] = torch.arange(ROW_TOKENS - start)
        yield Batch(ids_BT, labels_BT, positions_BT, tokens, count)


def encode(tokenizer: PreTrainedTokenizerFast, turns: Turns) -> tuple[list[int], list[int]]:
    """Token ids of a conversation as the chat template writes it, and labels on answers and their end token."""
    ids: list[int] = []
    labels: list[int] = []
    for turn in turns:
        head = tokenizer.encode(f"{START}{turn['role']}\n", add_special_tokens=False)
        body = tokenizer.encode(turn["content"] + END, add_special_tokens=False)
        tail = tokenizer.encode("\n", add_special_tokens=False)
        ids += head + body + tail
        answer = body if turn["role"] == "assistant" else [IGNORED] * len(body)
        labels += [IGNORED] * len(head) + answer + [IGNORED] * len(tail)
    return ids, labels


def save(model: Qwen2ForCausalLM, tokenizer: PreTrainedTokenizerFast, out: Path) -> int:
    """Write weights (bf16), configuration and tokenizer; the size of the weights in bytes."""
    out.mkdir(parents=True, exist_ok=True)
    # The head is tied to the embeddings: written once.
    weights = {n: t.to(torch.bfloat16) for n, t in model.state_dict().items() if n != "lm_head.weight"}
    model.generation_config.do_sample = False
    model.save_pretrained(out, state_dict=weights)
    save_tokenizer(tokenizer, out)
    config = json.loads((out / "config.json").read_text(encoding="utf-8"))
    # MLX reads only the top-level key and silently assumes another value without it.
    config.update(dtype="bfloat16", rope_theta=ROPE_THETA)
    (out / "config.json").write_text(json.dumps(config, indent=2) + "\n", encoding="utf-8")
    (out / "model.safetensors").chmod(0o644)
    return (out / "model.safetensors").stat().st_size


def main() -> None:
    """`python -m tiny.pretrain --out FOLDER`, with a progress bar."""
    from rich.progress import Progress as Bar

    parser = argparse.ArgumentParser(prog="python -m tiny.pretrain")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--steps", type=int, default=STEPS)
    parser.add_argument("--seed", type=int, default=SEED)
    given = parser.parse_args()
    if given.steps < 1:
        parser.error(f"--steps must be at least 1, not {given.steps}")
    if given.out.exists() and any(given.out.iterdir()):
        parser.error(f"{given.out} is not empty: name a folder that does not exist yet")
    torch.set_num_threads(1)
    with Bar() as bar:
        task = bar.add_task("training", total=given.steps)
        report = pretrain(
            given.out,
            given.steps,
            given.seed,
            lambda step, _, loss: bar.update(task, completed=step, description=f"training, loss {loss:.3f}"),
        )
    print(f"{given.out}: {report.parameters:,} parameters, {report.tokens:,} tokens, {report.seconds:.0f} s")


if __name__ == "__main__":
    main()
