"""Words that other trainers have for our fields: what people type before they know ours."""

from cifar_jax.config.schema import fields

# timm's flags, Lightning's arguments, PyTorch's, and the field's abbreviations.
WORDS = {
    "total_epochs": "epochs epoch num_epochs n_epochs max_epochs",
    "batch_size": "bs batch train_batch_size b",
    "eval_batch_size": "validation_batch_size val_batch_size test_batch_size",
    "accumulate_steps": "accumulate_grad_batches grad_accum_steps gradient_accumulation_steps",
    "seed": "random_seed random_state",
    "dtype": "precision amp amp_dtype fp16 bf16 mixed_precision",
    "log_every_steps": "log_interval log_every_n_steps log_every print_freq",
    "tensorboard": "logger log_tensorboard",
    "model.name": "model arch architecture net network",
    "model.dropout": "dropout drop drop_rate dropout_rate",
    "model.activation": "act act_layer",
    "model.weights": "pretrained initial_checkpoint weights checkpoint_path finetune",
    "model.freeze": "freeze freeze_backbone frozen",
    "dataset.name": "dataset",
    "dataset.path": "data data_path image_folder imagefolder root",
    "dataset.data_dir": "datadir dataset_dir",
    "dataset.image_size": "image_size img_size input_size size resolution",
    "dataset.validation_fraction": "val_split validation_split val_fraction val_size",
    "dataset.normalization": "mean std normalize",
    "dataset.threads": "workers num_workers",
    "augment.crop_padding": "crop padding pad random_crop",
    "augment.flip": "hflip horizontal_flip random_flip mirror",
    "augment.rotation": "rotate degrees random_rotation",
    "augment.policy": "aa auto_augment autoaugment aa_policy rand_augment randaugment randaug ra trivial_augment "
    "trivialaugment trivial_augment_wide ta_wide",
    "augment.operations": "ra_n num_ops",
    "augment.magnitude": "ra_magnitude ra_m",
    "augment.erasing": "reprob random_erasing erasing random_erase",
    "augment.mixup_alpha": "mixup mixup_prob",
    "augment.cutmix_alpha": "cutmix cutmix_prob",
    "augment.image_sizes": "progressive_resizing progressive",
    "loss.label_smoothing": "smoothing label_smooth",
    "loss.class_weights": "class_weight weight",
    "optimizer.name": "opt optimizer optim",
    "optimizer.learning_rate": "lr learning_rate base_lr lr_base max_lr",
    "optimizer.layer_factors": "layer_decay layer_lr lr_mult lr_mults layerwise_lr param_groups",
    "optimizer.weight_decay": "wd weight_decay l2 l2_reg decay",
    "optimizer.momentum": "mom beta1",
    "ema.decay": "ema model_ema model_ema_decay ema_decay",
    "schedule.name": "sched scheduler schedule lr_scheduler lr_schedule",
    "schedule.warmup_epochs": "warmup warmup_steps warmup_epochs",
    "schedule.drop_epochs": "step_size decay_epochs",
    "schedule.drop_factor": "decay_rate lr_decay",
    "schedule.milestones": "decay_milestones steps",
    "schedule.patience": "patience_epochs lr_patience",
    "schedule.min_learning_rate": "min_lr",
    "early_stopping.patience": "early_stopping early_stop patience stop_patience",
    "evaluation.flip": "tta test_time_augmentation",
    "checkpoint.every_epochs": "save_every checkpoint_interval save_freq",
    "checkpoint.monitor": "eval_metric monitor",
}
FIELDS = {word: field for field, words in WORDS.items() for word in words.split()}
# That are flags of a command, not fields.
FLAGS = {
    "workdir": "output output_dir out_dir log_dir logdir default_root_dir save_dir exp_dir",
    "config": "cfg conf config_file",
}
COMMANDS = {word: flag for flag, words in FLAGS.items() for word in words.split()}


def flag_meant(word):
    """Return the flag that a word of a command line stands for, such as "--config.seed"; None where it stands for none.

    Args:
        word: without dashes before it; with or without "config." and a section.
    """
    word = word.lower().replace("-", "_").removeprefix("config.")
    if word in COMMANDS:
        return f"--{COMMANDS[word]}"
    return f"--config.{field}" if (field := field_meant(word)) else None


def field_meant(word):
    """Return the field that a word stands for, such as "optimizer.learning_rate" for "lr"; None for none."""
    plain = word.lower().replace("-", "_")
    return plain if plain in fields() else FIELDS.get(plain) or FIELDS.get(plain.rpartition(".")[2])
