"""A GGUF in memory with its conversations: the thin layer over llama.cpp that scoring and serving both stand on."""

import ctypes
import unicodedata
import weakref
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from pipelines.chat import AddedToken, escape_of
from pipelines.errors import GGUFError, InputError
from pipelines.gguf.batch import Batch
from pipelines.gguf.grammar import Grammar
from pipelines.gguf.runtime import KV_TYPES, Runtime, last_words, llama, runtime_for
from pipelines.records import ServedForm

Row = npt.NDArray[np.float32]


class Session:
    """A loaded served form with `sequences` conversations of up to `context` tokens each.

    `escape` breaks up every control token of its vocabulary in message text, as ChatTokenizer's does in training;
    `stops` are the texts of the tokens that end an answer.

    For one thread at a time. Every conversation has its own key-value stream, and prompts are computed in chunks cut
    at fixed places, so what one conversation yields does not depend on the others nor on what was kept from before.

    Raises:
        GGUFError: llama.cpp cannot load it. Check the files' sha256 first: changed weights load without complaint,
            and a damaged adapter ends the process.
    """

    def __init__(
        self, form: ServedForm, *, context: int = 512, sequences: int = 1, runtime: Runtime | None = None
    ) -> None:
        path = Path(form.path)
        if not path.is_file():
            raise GGUFError(f"{path} is missing")
        self._library = llama()
        self.runtime = runtime or runtime_for(path)
        self._native = _Native(self._library)
        self._finalizer = weakref.finalize(self, self._native.free)
        self._model = self._native.model = self._load(path)
        self._adapter = self._native.adapter = self._load_adapter(form)
        self._scale = form.scale
        self._vocab = self._library.llama_model_get_vocab(self._model)
        self.vocabulary_size = int(self._library.llama_vocab_n_tokens(self._vocab))
        added = dict(self._added_tokens())
        self.escape = escape_of(added.values())
        self.stops = tuple(token.text for id, token in added.items() if self.ends(id))
        self._ids = {token.text: id for id, token in added.items()}
        self.trained_context = int(self._library.llama_model_n_ctx_train(self._model))
        self._batch = Batch(self._library, self.runtime.chunk)
        self.context = self.sequences = 0
        self.arrange(sequences, context)

    @property
    def chat_template(self) -> str | None:
        """The template inside the GGUF; chats are rendered with it and nothing else."""
        text = self._library.llama_model_chat_template(self._model, None)
        return text.decode("utf-8") if text else None

    @property
    def end_token(self) -> int:
        """The id that ends an answer."""
        return int(self._library.llama_vocab_eos(self._vocab))

    def ends(self, token: int) -> bool:
        """Whether this token ends an answer."""
        return bool(self._library.llama_vocab_is_eog(self._vocab, token))

    def is_control(self, token: int) -> bool:
        """Whether the vocabulary calls this token a control token."""
        return bool(self._library.llama_vocab_is_control(self._vocab, token))

    def tokenize(self, text: str, *, special: bool = True) -> list[int]:
        """Token ids of a rendered prompt, in NFC; control tokens in it are obeyed unless `special` is False.

        Tokens that are added and not special, such as `<tool_call>`, llama.cpp obeys in either case: `escape` the text.
        """
        data = unicodedata.normalize("NFC", text).encode("utf-8")
        room = len(data) + 8
        buffer = (ctypes.c_int32 * room)()
        count = self._library.llama_tokenize(self._vocab, data, len(data), buffer, room, False, special)
        if count < 0:
            raise GGUFError(f"llama.cpp cannot tokenize a text of {len(text)} characters")
        return list(buffer[:count])

    def piece(self, token: int) -> bytes:
        """The bytes a token stands for, possibly part of a character; empty for control tokens."""
        buffer = ctypes.create_string_buffer(64)
        size = self._library.llama_token_to_piece(self._vocab, token, buffer, len(buffer), 0, False)
        if size < 0:
            buffer = ctypes.create_string_buffer(-size)
            size = self._library.llama_token_to_piece(self._vocab, token, buffer, len(buffer), 0, False)
        return buffer.raw[: max(size, 0)]

    def marks(self, texts: Sequence[str]) -> dict[int, bytes]:
        """By id the tokens of the vocabulary that are one of these texts, control tokens among them."""
        return {self._ids[text]: text.encode() for text in texts if text in self._ids}

    def grow(self, context: int) -> None:
        """Make room for `context` tokens per conversation, forgetting them all if there was less. Raises as `arrange`."""
        self.arrange(self.sequences, max(context, self.context))

    def arrange(self, sequences: int, context: int) -> None:
        """Have `sequences` conversations of at least `context` tokens each, forgetting them all where that changes something.

        Raises:
            InputError: more than the model was trained to read.
            GGUFError: more than there is memory for.
        """
        if context > self.trained_context:
            raise InputError(f"{context} tokens are too many: this model reads at most {self.trained_context}")
        if sequences == self.sequences and context <= self.context:
            return
        self._native.free_context()
        self.context = 0
        self._context = self._native.context = self._new_context(sequences, context)
        self.sequences, self.context = sequences, context
        self._kept: list[list[int]] = [[] for _ in range(sequences)]
        self._lengths = [0] * sequences
        self._alike: int | None = None

    def length(self, sequence: int = 0) -> int:
        """Tokens that the conversation holds now."""
        return self._lengths[sequence]

    def resume(self, tokens: Sequence[int], sequence: int = 0) -> int:
        """Forget all of a conversation but the whole chunks it shares with a new prompt; how many tokens that is.

        Where another conversation shares more, this one continues a copy of it. At least the prompt's last token is
        left to compute, as it yields the logits.
        """
        shared = [self._shared(tokens, other) for other in range(self.sequences)]
        best = max(shared)
        if best > shared[sequence]:
            self._copy(shared.index(best), sequence)
        self.rewind(best, sequence)
        return self._lengths[sequence]

    def read(self, tokens: Sequence[int], sequence: int = 0) -> Row:
        """Compute a prompt from its start and give the logits after its last token."""
        if not tokens:
            raise InputError("an empty prompt cannot be scored")
        position = self.resume(tokens, sequence)
        while position < len(tokens):
            row = self.read_chunk(tokens, sequence)
            position = self.length(sequence)
        return row

    def read_chunk(self, tokens: Sequence[int], sequence: int = 0) -> Row:
        """Compute a prompt's next chunk; the logits after it, which matter for the last chunk only."""
        start = self._lengths[sequence]
        part = list(tokens[start : start + self.runtime.chunk])
        row: Row = self.feed(part, sequence, rows=1)[0]
        self._kept[sequence] += part
        return row

    def feed(self, tokens: Sequence[int], sequence: int = 0, *, rows: int | None = None) -> Row:
        """Continue a conversation by up to `chunk` tokens; the logits after each of the last `rows` of them (all)."""
        count = len(tokens)
        wanted = count if rows is None else rows
        start = self._lengths[sequence]
        if start + count > self.context:
            raise InputError(f"{start + count} tokens are too many: {self.context} are reserved for a conversation")
        self._batch.fill(tokens, start, sequence, wanted)
        self._decode()
        self._lengths[sequence] = start + count
        logits = self._library.llama_get_logits(self._context)
        values: Row = np.ctypeslib.as_array(logits, shape=(wanted, self.vocabulary_size)).copy()
        return values

    def feed_each(self, tokens: Mapping[int, int], *, padded: bool = False) -> dict[int, Row]:
        """Continue several conversations by one token each in one go; the logits after it, by conversation.

        Quicker than one after the other, as the weights are read once. Logits differ in their last digits with how many
        are in it: what must repeat keeps the same number, for which `padded` gives the idle ones a token that is forgotten.
        """
        for sequence in tokens:
            if self._lengths[sequence] >= self.context:
                raise InputError(f"a conversation is full: {self.context} tokens are reserved for it")
        idle = [one for one in range(self.sequences) if one not in tokens] if padded else []
        for sequence in idle:
            if self._lengths[sequence] == self.context:
                self.rewind(0, sequence)
        batch = dict(sorted({**tokens, **dict.fromkeys(idle, 0)}.items()))  # else llama.cpp cuts it into several
        self._batch.fill_each(batch, self._lengths)
        self._decode()
        for sequence in idle:
            self.rewind(self._lengths[sequence], sequence)
        logits = self._library.llama_get_logits(self._context)
        values: Row = np.ctypeslib.as_array(logits, shape=(len(batch), self.vocabulary_size)).copy()
        for sequence in tokens:
            self._lengths[sequence] += 1
        return {sequence: values[place] for place, sequence in enumerate(batch) if sequence in tokens}

    def grammar(self, text: str) -> Grammar:
        """A grammar over this vocabulary. Raises InputError if llama.cpp cannot read it."""
        return Grammar(self._vocab, text)

    def alike(self) -> int:
        """How many conversations may go on in one forward so that none says anything else than it would alone.

        Found by trying, as it depends on how llama.cpp's kernels sum: on processors a few for most quantized weights, one for
        F16. On a GPU all of them, alike or not, since one after the other would take several times as long there.
        Forgets every conversation.
        """
        if self.runtime.gpu_layers:
            return self.sequences
        if self._alike is None:
            alone, count = self._trial(1), 1
            while count < self.sequences and np.array_equal(self._trial(count + 1), alone):
                count += 1
            for sequence in range(self.sequences):
                self.rewind(0, sequence)
            self._alike = count
        return self._alike

    def _trial(self, width: int) -> Row:
        """The logits of two tokens of every conversation, so many conversations at a time."""
        numbers = np.random.default_rng(0).integers(0, self.vocabulary_size, (2, self.sequences)).tolist()
        for sequence in range(self.sequences):
            self.rewind(0, sequence)
        rows: list[Row] = []
        for tokens in numbers:
            for first in range(0, self.sequences, width):
                group = range(first, min(first + width, self.sequences))
                rows += self.feed_each({one: tokens[one] for one in group}).values()
        return np.stack(rows)

    def rewind(self, length: int, sequence: int = 0) -> None:
        """Forget a conversation's tokens from `length` on; all of them where the model's memory has no way back."""
        memory = self._library.llama_get_memory(self._context)
        if not self._library.llama_memory_seq_rm(memory, sequence, length, -1):
            self._library.llama_memory_seq_rm(memory, sequence, -1, -1)
            length = 0
        self._lengths[sequence] = length
        del self._kept[sequence][length:]

    def close(self) -> None:
        """Free everything; the session cannot be used afterwards."""
        self._finalizer()

    def __enter__(self) -> "Session":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _shared(self, tokens: Sequence[int], sequence: int) -> int:
        """How many tokens of whole chunks a conversation shares with a prompt, the prompt's last token left out."""
        chunk, kept = self.runtime.chunk, self._kept[sequence]
        shared = 0
        while shared + chunk <= min(len(kept), len(tokens) - 1):
            if kept[shared : shared + chunk] != list(tokens[shared : shared + chunk]):
                break
            shared += chunk
        return shared

    def _copy(self, source: int, sequence: int) -> None:
        self.rewind(0, sequence)
        memory = self._library.llama_get_memory(self._context)
        self._library.llama_memory_seq_cp(memory, source, sequence, -1, -1)  # whole: streams are copied in one piece
        self._lengths[sequence], self._kept[sequence] = self._lengths[source], list(self._kept[source])

    def _decode(self) -> None:
        code = self._library.llama_decode(self._context, self._batch.struct)
        if code != 0:
            raise GGUFError(f"llama.cpp stopped with code {code}: {last_words() or 'no reason given'}")

    def _added_tokens(self) -> Iterator[tuple[int, AddedToken]]:
        """By id what llama.cpp looks for in a text before it looks for words."""
        library = self._library
        special = library.LLAMA_TOKEN_ATTR_UNKNOWN | library.LLAMA_TOKEN_ATTR_CONTROL
        added = special | library.LLAMA_TOKEN_ATTR_USER_DEFINED
        for token in range(self.vocabulary_size):
            kind = library.llama_vocab_get_attr(self._vocab, token)
            if kind & added:
                text = library.llama_vocab_get_text(self._vocab, token).decode("utf-8", "replace")
                yield token, AddedToken(text, bool(kind & special))

    def _load(self, path: Path) -> Any:
        parameters = self._library.llama_model_default_params()
        parameters.n_gpu_layers = self.runtime.gpu_layers
        model = self._library.llama_model_load_from_file(str(path).encode(), parameters)
        if not model:
            raise GGUFError(f"llama.cpp cannot load {path.name}: {last_words() or 'no reason given'}")
        return model

    def _load_adapter(self, form: ServedForm) -> Any:
        if form.kind != "adapter":
            return None
        if form.adapter_path is None or not Path(form.adapter_path).is_file():
            raise GGUFError(f"the adapter {form.adapter_path} is missing")
        adapter = self._library.llama_adapter_lora_init(self._model, form.adapter_path.encode())
        if not adapter:
            raise GGUFError(f"llama.cpp cannot load the adapter {form.adapter_path}: {last_words()}")
        return adapter

    def _new_context(self, sequences: int, context: int) -> Any:
        parameters = self._library.llama_context_default_params()
        parameters.n_ctx = context * sequences
        parameters.n_seq_max = sequences
        parameters.kv_unified = False
        parameters.n_batch = parameters.n_ubatch = self.runtime.chunk
        parameters.n_threads = parameters.n_threads_batch = self.runtime.threads
        parameters.type_k = parameters.type_v = KV_TYPES[self.runtime.kv_type]
        parameters.flash_attn_type = int(self.runtime.flash_attention)
        parameters.no_perf = True
        handle = self._library.llama_init_from_model(self._model, parameters)
        if not handle:
            raise GGUFError(f"no memory for {sequences} x {context} tokens: {last_words()}")
        if self._adapter is not None:
            adapters = (self._library.llama_adapter_lora_p_ctypes * 1)(self._adapter)
            self._library.llama_set_adapters_lora(handle, adapters, 1, (ctypes.c_float * 1)(self._scale))
        return handle


class _Native:
    """What llama.cpp allocated for a session, freed once, at close or when the session is forgotten."""

    def __init__(self, library: Any) -> None:
        self._library = library
        self.model: Any = None
        self.adapter: Any = None
        self.context: Any = None

    def free(self) -> None:
        self.free_context()
        if self.adapter is not None:
            self._library.llama_adapter_lora_free(self.adapter)
        if self.model is not None:
            self._library.llama_model_free(self.model)
        self.model = self.adapter = None

    def free_context(self) -> None:
        if self.context is not None:
            self._library.llama_free(self.context)
        self.context = None
