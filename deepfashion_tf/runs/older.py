"""Options that older versions had: what became of them, and how their files are read."""

from deepfashion_tf.data.drawings import drawn_in
from deepfashion_tf.errors import InputError

# The value at which each option that is gone changed nothing.
REMOVED: dict[str, object] = {
    "balance": "fixed",
    "class_balance": "none",
    "class_alpha": {},
    "sampling": "uniform",
    "logit_adjustment": 0.0,
    "jit": False,
    "sync_batch_norm": True,
    "freeze_epochs": 0,
    "start_size": 0,
    "start_epochs": 0,
    "select": "mean_accuracy",
    "drawings": 0.0,
    "train_share": 1.0,
    "split_seed": 0,
    "rand_augment": 0.0,
    "mixup": 0.0,
    "cutmix": 0.0,
    "label_smoothing": 0.0,
    "ema": 0.0,
    "drop_path": 0.0,
    "box_jitter": 0.0,
    "alpha": 1.0,
    "start_drawings": 10_000,
    "check_images": True,
}
# Option that another one took in -> how to say the same today.
REPLACED = {
    "data_dir": "--data DIR",
    "image_pattern": "--image-column PATTERN",
    "representation": "--heads logits or --heads pooled",
    "cache_dir": "--cache DIR",
    "loss": "--gamma 0 (cross-entropy) or --gamma 2 (focal loss)",
    "wardrobe_train": "--wardrobe-images TRAIN VAL TEST",
    "wardrobe_val": "--wardrobe-images TRAIN VAL TEST",
    "wardrobe_test": "--wardrobe-images TRAIN VAL TEST",
    "wardrobe_dir": "--data wardrobe:DIR",
    "no_cache": "--cache none",
}
_SIZES = {"wardrobe_train": 3000, "wardrobe_val": 400, "wardrobe_test": 400}


def of_today(values: dict) -> dict:
    """Returns what a file of any version holds of a config, with the options of this one.

    Raises:
        InputError: an option that is gone has a value that changed something.
    """
    used = [name for name in REMOVED if name in values and values[name] != REMOVED[name]]
    if values.get("representation") == "logits" and values.get("heads", "pooled") != "pooled":
        used.append("representation")
    if used:
        settings = ", ".join(f"{name} = {values[name]!r}" for name in used)
        raise InputError(
            f"{settings}: this version has no such option; use the version that made the file."
        )
    found = {n: v for n, v in values.items() if n not in REMOVED and n not in REPLACED}
    old = {name: values[name] for name in REPLACED if values.get(name) is not None}
    if "data_dir" in old:
        found["data"] = old["data_dir"]
    if "wardrobe_dir" in old:
        found["data"] = drawn_in(old["wardrobe_dir"])
    if "image_pattern" in old:
        found["image_column"] = old["image_pattern"]
    if "representation" in old and found.get("heads", "pooled") == "pooled":
        found["heads"] = old["representation"]
    if "cache_dir" in old:
        found["cache"] = old["cache_dir"]
    elif isinstance(found.get("cache"), bool):
        found["cache"] = "memory" if found["cache"] else "none"
    if old.get("loss") == "cross_entropy":
        found["gamma"] = 0.0
    elif "loss" in old:
        found.setdefault("gamma", 2.0)
    if _SIZES.keys() & old.keys():
        found["wardrobe_images"] = [old.get(name, size) for name, size in _SIZES.items()]
    return found
