"""Queries, keys and values of every head of a network, taken while it reads its inputs.

Only here the library transformers is needed: the extra ``networks``. A network is a folder in the
layout of Hugging Face, with whatever layers it has, as long as they attend through the library's
interface for attention functions, which is handed queries and keys as the softmax takes them, with
rotary positions and the like done.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import torch
from torch.nn.functional import scaled_dot_product_attention

from icl_contrastive.command import StepError
from icl_contrastive.networks.layers import Array, Layers

if TYPE_CHECKING:
    from torch import Tensor

ROUNDING = 1e-4
"""Largest difference of two float32 outputs of a network, relative to the largest entry: a hundred
roundings or so are lost on the way through its layers."""

_RECORDED = "recorded"


class Call(NamedTuple):
    """What a layer was asked to attend with, (heads, n, d) each."""

    queries: Array
    keys: Array
    values: Array
    scale: float


class Network:
    """A pretrained network that reads one input at a time.

    Attributes:
        folder: of its weights and config.
        model: the network, in float32.
        causal: whether tokens attend to earlier ones alone.
    """

    def __init__(self, folder: Path) -> None:
        """Load it; raises StepError if the folder has none that can be read."""
        import transformers

        transformers.utils.logging.set_verbosity_error()
        transformers.utils.logging.disable_progress_bar()
        self.folder = folder
        try:
            config = transformers.AutoConfig.from_pretrained(folder, local_files_only=True)
            (architecture,) = config.architectures or ["AutoModel"]
            self.model, about = getattr(transformers, architecture).from_pretrained(
                folder,
                local_files_only=True,
                weights_only=True,
                dtype=torch.float32,
                output_loading_info=True,
            )
            if lacking := sorted(about["missing_keys"]):
                raise ValueError(f"no weights for {', '.join(lacking)}")
        except (OSError, ValueError, AttributeError, ImportError) as error:
            why = str(error).partition("\n")[0]
            raise StepError(
                f"{folder}: no network that transformers {transformers.__version__} can read "
                f"({why}); must be a folder with config.json and weights, as save_pretrained "
                "writes it"
            ) from error
        self.model.train(False)
        self.causal = getattr(config, "is_decoder", False) or architecture.endswith(
            ("ForCausalLM", "LMHeadModel")
        )

    def encode(self, text: str) -> list[int]:
        """Ids of a text by the network's own tokenizer."""
        import transformers

        tokenizer = transformers.AutoTokenizer.from_pretrained(self.folder, local_files_only=True)
        ids: list[int] = tokenizer(text)["input_ids"]
        return ids

    def read(self, ids: Sequence[int]) -> Tensor:
        """The network's output for one input: logits, or the last hidden states, (n, ...)."""
        with torch.inference_mode():
            output: Tensor = self.model(torch.tensor([list(ids)]))[0][0]
        return output

    def write(self, length: int, rng: np.random.Generator) -> list[int]:
        """Ids that a causal language model draws, from its first to its last token."""
        start, end = self.model.config.bos_token_id, self.model.config.eos_token_id
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(int(rng.integers(2**63)))
            drawn = self.model.generate(
                torch.tensor([[start]]),
                attention_mask=torch.ones(1, 1),
                do_sample=True,
                top_k=0,
                max_length=length,
                eos_token_id=end,
                pad_token_id=end,
            )
        ids: list[int] = drawn[0].tolist()
        return ids

    def record(self, inputs: Sequence[Sequence[int]]) -> Layers:
        """The heads of all layers on all inputs.

        Raises StepError unless the network's own outputs are the same to float32 rounding when each
        layer is computed from the queries, keys and values recorded.
        """
        recorded: list[list[Call]] = []
        for number, ids in enumerate(inputs):
            own = self.read(ids)
            with self._recording() as calls:
                again = self.read(ids)
            if not calls:
                raise StepError(
                    f"{self.folder}: {type(self.model).__name__} does not attend through "
                    "transformers' interface for attention functions; save queries, keys and "
                    "values of its heads to a safetensors file, which can be read in its place"
                )
            error = float((own - again).abs().max() / own.abs().max())
            if not error <= ROUNDING:
                raise StepError(
                    f"{self.folder}: with attention from the queries, keys and values recorded, "
                    f"the network's output for input {number + 1} is off by {error:.1e} of its "
                    f"largest entry, more than rounding ({ROUNDING:g}): its layers do more than "
                    f"{'causal ' if self.causal else ''}softmax attention, such as other masks"
                )
            recorded.append(calls)
        (scale,) = {call.scale for calls in recorded for call in calls}
        queries, keys, values = (
            np.concatenate([[call[part] for call in calls] for calls in recorded], axis=2)
            for part in range(3)
        )  # (layers, heads, tokens of all inputs, d) each
        prompt = np.repeat(np.arange(len(inputs)), [len(ids) for ids in inputs])
        return Layers(queries, keys, values, prompt, self.causal, scale)

    @contextmanager
    def _recording(self) -> Iterator[list[Call]]:
        """Attention from queries, keys and values alone; what each layer was given, in order."""
        from transformers import AttentionInterface

        calls: list[Call] = []

        def attend(
            module: Any, query: Tensor, key: Tensor, value: Tensor, mask: Any, **options: Any
        ) -> tuple[Tensor, None]:
            groups = query.shape[1] // key.shape[1]
            key, value = (one.repeat_interleave(groups, 1) for one in (key, value))
            scale = options.get("scaling") or query.shape[-1] ** -0.5
            q, k, v = (one[0].numpy().copy() for one in (query, key, value))
            calls.append(Call(q, k, v, scale))
            output = scaled_dot_product_attention(
                query, key, value, is_causal=self.causal, scale=scale
            )
            return output.transpose(1, 2), None

        AttentionInterface.register(_RECORDED, attend)
        usual = self.model.config._attn_implementation  # noqa: SLF001 - it has no other name
        self.model.set_attn_implementation(_RECORDED)
        try:
            yield calls
        finally:
            self.model.set_attn_implementation(usual)
