"""Metrics and axes as people write them."""

import re

_NAMES = {
    "acc_iou50": "accuracy at IoU 0.5",
    "ap": "AP",
    "ap50": "AP50",
    "ap75": "AP75",
    "ar_100": "AR100",
    "brier": "Brier score",
    "label_micro_f1": "label F1",
    "label_macro_f1": "label F1, macro",
    "label_example_f1": "label F1, by example",
    "miou": "mean IoU",
    "n_acc": "N-acc (nothing there, nothing found)",
    "pr_f1_50": "Pr@(F1=1, IoU≥0.5)",
    "radcliq_v1": "RadCliQ-v1",
    "radcliq_v1_inverse": "1 / RadCliQ-v1",
    "rouge_l": "ROUGE-L",
    "t_acc": "T-acc (something there, something found)",
}
"""Names whose parts do not tell how they are written."""
_PARTS = {
    "auroc": "AUROC",
    "chexbert": "CheXbert",
    "cider": "CIDEr",
    "cpm": "CPM",
    "crimson": "CRIMSON",
    "dice": "Dice",
    "ece": "ECE",
    "f1": "F1",
    "green": "GREEN",
    "iou": "IoU",
    "meteor": "METEOR",
    "radfact": "RadFact",
    "radgraph": "RadGraph",
}


def words(name: str) -> str:
    """A metric or axis as it is read: `bleu_4` is BLEU-4, `precision_50` precision at IoU 0.5, `body_region` itself."""
    if name in _NAMES:
        return _NAMES[name]
    name = re.sub(r"bleu_(\d)", r"BLEU-\1", name)
    name = re.sub(r"^chexbert_(\w+)_f1_(\d+)$", r"chexbert_f1_(\1, \2 labels)", name)
    name = re.sub(r"_50$", "_at_IoU_0.5", name)
    return " ".join(_PARTS.get(part, part) for part in name.split("_"))
