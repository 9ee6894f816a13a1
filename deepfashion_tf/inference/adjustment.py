"""Logit adjustment after training: mean class recall at a price in mean accuracy.

No TensorFlow: arrays of probabilities and labels in, numbers out.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from deepfashion_tf.schema import UNLABELLED

Offsets = Mapping[str, np.ndarray]  # category -> float [classes], added to its logits

RECALL_WEIGHTS = tuple(np.linspace(0, 1, 101).round(2).tolist())
TAUS = tuple(np.linspace(0, 1.5, 31).round(2).tolist())


def shares_of(counts: np.ndarray) -> np.ndarray:
    """Returns the shares of a category's attributes; each has one image more than were counted.

    An attribute without training images has the share of the commonest one. No adjustment must
    favour what the network has never seen.

    Args:
        counts: int ``[classes]``, training images of each.

    Returns:
        float ``[classes]``, none of them 0; of sum 1 where all attributes have images.
    """
    shares = (counts + 1) / (counts + 1).sum()
    return np.where(counts > 0, shares, shares.max())


def recall_offsets(shares: Offsets, temperatures: Mapping[str, float], weight: float) -> Offsets:
    """Returns the offsets that maximize (1 - weight) * mean accuracy + weight * mean class recall.

    With C categories of K attributes in all, a right answer for an image of attribute k counts
    (1 - weight) / C in the first score and, on average, weight / (K π_k) in the second. The best
    answer is therefore the highest p_k · (1 - weight + weight · C / (K π_k)), if p are the
    posterior probabilities (Elkan 2001, The Foundations of Cost-Sensitive Learning). Weight 0
    changes nothing. Weight 1 divides by the shares: tau = 1 of Menon et al. 2021.

    Args:
        shares: category -> float ``[classes]``, π, of the training images.
        temperatures: category -> T, by which logits are divided to become posterior ones.
        weight: of mean class recall, 0 to 1.

    Returns:
        category -> float ``[classes]``, for the logits before they are divided by T.
    """
    ratio = len(shares) / sum(len(values) for values in shares.values())
    return {
        category: temperatures[category] * np.log(1 - weight + weight * ratio / values)
        for category, values in shares.items()
    }


def power_offsets(shares: Offsets, tau: float) -> Offsets:
    """Returns -tau · log π: probabilities are divided by the shares to the power tau.

    Args:
        shares: as `recall_offsets` takes them.
        tau: 0 = nothing changes.

    Reference:
        Menon et al. 2021, Long-Tail Learning via Logit Adjustment, section 4.1, eq. 8.
    """
    return {category: -tau * np.log(values) for category, values in shares.items()}


@dataclass(frozen=True)
class Tradeoff:
    """Both scores of the same answers under several settings of an adjustment.

    Attributes:
        settings: a number each; the first one changes nothing.
        accuracies: mean accuracy of each.
        recalls: mean class recall of each.
    """

    settings: tuple[float, ...]
    accuracies: tuple[float, ...]
    recalls: tuple[float, ...]

    @classmethod
    def of(
        cls,
        logits: Mapping[str, np.ndarray],
        labels: Mapping[str, np.ndarray],
        settings: Sequence[float],
        offsets: Sequence[Offsets],
    ) -> "Tradeoff":
        """Scores the answers of each setting.

        Args:
            logits: category -> float ``[n, classes]``; log-probabilities are logits too.
            labels: category -> int ``[n]``, class ids; -1 = not labelled.
            settings: a number each.
            offsets: what each of them adds to the logits; of the categories that it names.
        """
        accuracies, recalls = [], []
        for found in offsets:
            scores = [_score(logits[c], labels[c], found.get(c, 0.0)) for c in logits]
            accuracies.append(_mean([accuracy for accuracy, _ in scores if accuracy is not None]))
            recalls.append(_mean([value for _, values in scores for value in values]))
        return cls(tuple(settings), tuple(accuracies), tuple(recalls))

    def choose(self, price: float) -> int:
        """Finds the highest mean class recall whose mean accuracy falls by no more than a price.

        Args:
            price: in points, hundredths of mean accuracy; 0 = the first setting.

        Returns:
            The place of the setting; the first of several as good ones.
        """
        if price <= 0:
            return 0
        # A sum of rounded numbers may pass the limit by the last bit.
        allowed = np.array(self.accuracies) >= self.accuracies[0] - price / 100 - 1e-9
        return int(np.argmax(np.where(allowed, self.recalls, -1.0)))


def _score(
    logits: np.ndarray, labels: np.ndarray, offsets: np.ndarray | float
) -> tuple[float | None, np.ndarray]:
    """Returns a category's accuracy, and the recall of each attribute that an image has."""
    known = labels != UNLABELLED
    truth = labels[known]
    if not len(truth):
        return None, np.empty(0)
    answers = (logits[known] + offsets).argmax(axis=1)
    counts = np.bincount(truth, minlength=logits.shape[1])
    hits = np.bincount(truth[truth == answers], minlength=logits.shape[1])
    seen = counts > 0
    return float(hits.sum() / len(truth)), hits[seen] / counts[seen]


def _mean(values: Sequence[float]) -> float:
    return float(np.mean(values)) if len(values) else float("nan")
