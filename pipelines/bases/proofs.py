"""What is proven of a base before rounds trust it: its file reads, renders, says and stops as its publisher's weights do.

Each proof is a line with a figure. All run in child processes; how far one is stands in progress.jsonl of its folder.
"""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from pipelines import chat
from pipelines.artifacts import write_atomic
from pipelines.bases.chats import QUESTIONS, SHAPES, Shape
from pipelines.bases.facts import PROOF_VERSION, KeptProof, Proof, ProofRequest
from pipelines.bases.texts import COUNT, SCRIPTS, script_texts
from pipelines.errors import ModelError, PerennialError
from pipelines.gguf.session import Session
from pipelines.progress import report_progress
from pipelines.recipe import Quantization
from pipelines.records import ServedForm
from pipelines.tokenizer import ChatTokenizer

_PROMPTS, _POSITIONS, _LONGEST = 40, 8, 200
_ANSWER_TOKENS = 512
# Nats per token and shares. A wrong permutation or scale costs whole nats; Q4_K_M of a small model costs a tenth of one.
# The likeliest token is often a close call in words of no language: SmolLM2 in Q8_0 is at .0057 nats and .92.
_LIMITS: dict[Quantization, tuple[float, float]] = {
    "Q4_K_M": (0.25, 0.7),
    "Q5_K_M": (0.15, 0.75),
    "Q6_K": (0.1, 0.8),
    "Q8_0": (0.05, 0.85),
    "F16": (0.02, 0.9),
}


def prove_in_this_process(arguments: dict[str, Any]) -> dict[str, Any]:
    """The proofs by their names, each on disk as soon as it is made, up to one that fails; for pipelines.isolated."""
    request = ProofRequest.model_validate(arguments)
    for name in request.names:
        report_progress(request.folder, name, 0, 1)
        proof = _MAKERS[name](request)
        kept = KeptProof(sha256=request.form.sha256, version=PROOF_VERSION, proof=proof)
        write_atomic(request.folder / f"{name}.json", kept.model_dump_json())
        if not proof.passed:
            break
    return {}


def prove_tokens(request: ProofRequest) -> Proof:
    """The publisher's tokenizer and llama.cpp's give equal ids for every text."""
    theirs = _published_tokenizer(request)
    different: list[str] = []
    with Session(request.form) as session:
        for done, text in enumerate(script_texts()):
            if done % 100 == 0:
                report_progress(request.folder, "tokens", done, COUNT)
            normal = chat.escape_markers(text)
            if list(theirs.encode(normal, add_special_tokens=False)) != session.tokenize(normal, special=False):
                different.append(SCRIPTS[done % len(SCRIPTS)])
    line = f"token ids of transformers and llama.cpp are equal on {COUNT - len(different):,} of {COUNT:,} texts in {len(SCRIPTS)} scripts"
    return Proof(name="tokens", passed=not different, line=line + _most(different))


def prove_template(request: ProofRequest) -> Proof:
    """The publisher's renderer and ours, with the template in the file, give equal tokens for every shape it knows."""
    theirs = _published_tokenizer(request)
    different, refused = [], 0
    with Session(request.form) as session:
        for done, shape in enumerate(SHAPES):
            report_progress(request.folder, "template", done, len(SHAPES))
            expected = _published_rendering(theirs, shape)
            served = _served_rendering(session, shape)
            refused += expected is None
            if (expected is None) != (served is None) or (
                expected is not None
                and served is not None
                and list(theirs.encode(expected, add_special_tokens=False)) != session.tokenize(served)
            ):
                different.append(shape.name)
    line = f"chats of {len(SHAPES) - len(different)} of {len(SHAPES)} shapes render to the same tokens"
    line += f", {refused} of which this template refuses" if refused else ""
    # two renderers that refuse everything agree on nothing
    return Proof(name="template", passed=not different and refused < len(SHAPES), line=line + _most(different))


def prove_agreement(request: ProofRequest) -> Proof:
    """The file's next tokens are those of the publisher's weights in transformers: top-1 and KL divergence."""
    import torch

    from pipelines.gguf.agreement import load_model

    assert request.base is not None
    tokenizer = ChatTokenizer(request.base)
    prompts = _prompts(tokenizer)
    model = load_model(request.base, "full")
    same = count = 0
    divergence = 0.0
    with Session(request.form, context=_LONGEST + 8) as session, torch.inference_mode():
        for done, ids in enumerate(prompts):
            report_progress(request.folder, "agreement", done, len(prompts))
            kept = min(_POSITIONS, len(ids))
            expected = model(torch.tensor([ids]), logits_to_keep=kept).logits[0].double().numpy()
            session.rewind(0)
            p, q = _log_softmax(expected), _log_softmax(session.feed(ids, rows=kept).astype(np.float64))
            width = min(p.shape[1], q.shape[1])  # either may have rows of padding behind its vocabulary
            divergence += (
                float((np.exp(p) * (p - q[:, :width])).sum())
                if width == p.shape[1]
                else float((np.exp(p[:, :width]) * (p[:, :width] - q)).sum())
            )
            same += int((p.argmax(-1) == q.argmax(-1)).sum())
            count += kept
    kld, top1 = max(0.0, divergence / count), same / count
    most, least = _LIMITS[request.quantize]
    line = (
        f"{request.quantize} against transformers: KL divergence {kld:.4f} nats a token (at most {most}), the likeliest token is the "
        f"same at {top1:.1%} of {count} places (at least {least:.0%})"
    )
    return Proof(name="agreement", passed=bool(np.isfinite(kld)) and kld <= most and top1 >= least, line=line)


def prove_stop(request: ProofRequest) -> Proof:
    """Greedy answers to short questions end by the model's own end-of-turn token."""
    stopped, lengths = 0, []
    with Session(request.form, context=min(_ANSWER_TOKENS + 128, _context(request.form))) as session:
        template = session.chat_template
        if template is None:
            raise ModelError(
                f"{Path(request.form.path).name} carries no chat template, so nobody knows how to talk to it"
            )
        for done, question in enumerate(QUESTIONS):
            report_progress(request.folder, "stops", done, len(QUESTIONS))
            asked = [{"role": "user", "content": question}]
            text = chat.render(template, asked, escape=session.escape, generate=True, enable_thinking=False)
            ended, length = _answer(session, session.tokenize(text))
            stopped += ended
            lengths.append(length)
    line = f"answers to {stopped} of {len(QUESTIONS)} short questions end by themselves, after {min(lengths)} to {max(lengths)} tokens"
    return Proof(name="stops", passed=stopped > len(QUESTIONS) // 2, line=line)


def _answer(session: Session, prompt: Sequence[int]) -> tuple[bool, int]:
    """Whether a greedy answer says something and ends by itself, and its tokens."""
    row = session.read(prompt)
    for length in range(min(_ANSWER_TOKENS, session.context - len(prompt))):
        token = int(row.argmax())
        if session.ends(token):
            return length > 0, length
        row = session.feed([token])[0]
    return False, length + 1


def _context(form: ServedForm) -> int:
    with Session(form, context=8) as session:
        return session.trained_context


def _published_tokenizer(request: ProofRequest) -> Any:
    from transformers import AutoTokenizer

    assert request.base is not None
    try:
        return AutoTokenizer.from_pretrained(str(request.base), local_files_only=True)
    except (ValueError, OSError, KeyError, ImportError) as error:
        raise ModelError(
            f"transformers cannot read the tokenizer of {request.base.name}: {str(error).splitlines()[0]}"
        ) from error


def _published_rendering(tokenizer: Any, shape: Shape) -> str | None:
    """None where its template refuses such a chat."""
    try:
        text = tokenizer.apply_chat_template(
            shape.messages, tools=shape.tools, add_generation_prompt=shape.generate, tokenize=False, **shape.switches
        )
    except Exception:  # a template is somebody's program
        return None
    return str(text)


def _served_rendering(session: Session, shape: Shape) -> str | None:
    messages = [dict(message) for message in shape.messages]
    if shape.tools:
        messages[0]["tools"] = shape.tools
    try:
        return chat.render(
            session.chat_template or "", messages, escape=session.escape, generate=shape.generate, **shape.switches
        )
    except PerennialError:
        return None


def _prompts(tokenizer: ChatTokenizer) -> list[list[int]]:
    """Renderings and plain texts, cut to what is computed at once."""
    asked = [tokenizer.ids([{"role": "user", "content": question}]) for question in QUESTIONS]
    texts = script_texts(_PROMPTS - len(asked), seed=1)
    return [ids[:_LONGEST] for ids in [*asked, *(tokenizer.text_ids(tokenizer.escape(text)) for text in texts)] if ids]


def _log_softmax(logits: "np.ndarray[Any, Any]") -> "np.ndarray[Any, Any]":
    shifted = logits - logits.max(-1, keepdims=True)
    result: np.ndarray[Any, Any] = shifted - np.log(np.exp(shifted).sum(-1, keepdims=True))
    return result


def _most(names: Sequence[str]) -> str:
    shown = list(dict.fromkeys(names))
    return f" (not: {', '.join(shown[:6])}{' ...' if len(shown) > 6 else ''})" if shown else ""


_MAKERS: dict[str, Callable[[ProofRequest], Proof]] = {
    "tokens": prove_tokens,
    "template": prove_template,
    "agreement": prove_agreement,
    "stops": prove_stop,
}
