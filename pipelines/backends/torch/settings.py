"""A recipe and this machine's choices -> the settings of trl's trainer."""

from pathlib import Path
from typing import Any

from trl import SFTConfig

from pipelines.backends.torch.device import Choices
from pipelines.recipe import Train

_DEV_EXAMPLES_AT_A_TIME = 64


def trainer_settings(recipe: Train, choices: Choices, out: Path, *, evaluates: bool, **changes: Any) -> SFTConfig:
    """What trl's trainer is told; `changes` have the last word.

    One data loader batch is one optimizer step: the recipe's per_device x accumulate examples.
    """
    settings: dict[str, Any] = dict(
        output_dir=str(out / "checkpoints"),
        use_cpu=choices.device == "cpu",
        bf16=choices.bf16,
        activation_checkpointing=choices.activation_checkpointing,
        num_train_epochs=recipe.epochs,
        per_device_train_batch_size=recipe.batch.per_device * recipe.batch.accumulate,
        gradient_accumulation_steps=1,
        per_device_eval_batch_size=_DEV_EXAMPLES_AT_A_TIME,
        learning_rate=recipe.learning_rate,
        lr_scheduler_type=recipe.scheduler,
        lr_scheduler_kwargs={"min_lr_rate": 0.1} if recipe.scheduler == "cosine_with_min_lr" else {},
        warmup_steps=recipe.warmup,
        optim=choices.optimizer,
        weight_decay=recipe.weight_decay,
        max_grad_norm=recipe.max_grad_norm,
        seed=recipe.seed,
        data_seed=recipe.seed,
        eval_strategy="steps" if evaluates else "no",
        eval_steps=recipe.evaluate_every,
        save_strategy="steps",
        save_steps=recipe.save_every,
        save_total_limit=2,
        logging_steps=1,
        logging_nan_inf_filter=False,
        report_to="none",
        disable_tqdm=True,
        dataloader_num_workers=0,
        dataloader_pin_memory=choices.device == "cuda",
        remove_unused_columns=False,
        max_length=None,
        packing=False,
        dataset_kwargs={"skip_prepare_dataset": True},
    )
    return SFTConfig(**(settings | changes))
