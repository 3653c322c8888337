"""The five models as classes with one set of methods, for scripts and notebooks."""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any, Self

import numpy as np

from . import arguments
from .arrays import Floats
from .datasets.log import Log
from .datasets.protocol import Protocol
from .errors import ArgumentError, checked
from .evaluation.attention import look_inside, nearest
from .evaluation.ranking import Names, full_ranks, mask_of, moments, named_history, places_of, ranked_names, target_group
from .evaluation.report import report_of
from .evaluation.scoring import score
from .holder import Holder, checked_log
from .metrics import rank_metrics
from .runs.growth import warm_start
from .training import Callback, fit


class Recommender(Holder):
    """What the five models share. Use one of `ATRank`, `BPRMF`, `BiLSTM`, `BiLSTMAttention`, `CNN`.

    After `fit`, `update` or `load`, several threads may use the same object.

    Parameters
    ----------
    purpose : what the defaults are best for: "ranking" for the order of two objects (AUC), "top-n" for the first places of the
        whole catalogue.
    **settings : fields of `atrank_np.config.Config` that differ from these defaults, such as ``epochs=5``, ``seed=1``,
        ``width=64``, ``threads=1``, ``variant="printed"`` (ATRank alone).

    Attributes
    ----------
    config : a Config, all settings.
    trained_ : a Trained: the parameters by name, and all that belongs to them.

    ArgumentError, which is a ValueError and an AtrankError, for an unknown setting, or a value that no run can have.

    Examples
    --------
    >>> from atrank_np import ATRank, datasets
    >>> log = datasets.load_shop()
    >>> model = ATRank(epochs=1, evaluations=2, width=16, spaces=2, backend="numpy").fit(log)
    >>> model  # doctest: +ELLIPSIS
    ATRank(backend='numpy', epochs=1, evaluations=2, spaces=2, width=16): 320 objects, test AUC 0... ± 0.0...
    >>> [round(epoch, 1) for epoch in model.history_["epoch"]]
    [0.5, 1.0]
    >>> model.evaluate(log, at=())["test_auc"] == model.history_["test_auc"][-1]
    True
    >>> ids, cosines = model.similar_items("i73", n=2)
    >>> ids, weights = model.attention(log, "u7", item="i266")
    >>> cosines.shape, weights.shape == (2, len(ids))
    ((2,), True)
    >>> model.update(log, learning_rate=0.05).config.learning_rate
    0.05
    """

    def fit(self, log: Log, *, callback: Callback | None = None, show: bool = False) -> Self:
        """Trains a new model on a log, and tests it on each user's last event.

        Parameters
        ----------
        log : from `read_log`, `Log.from_frame` or `datasets.load_shop`.
        callback : called as ``callback(step, loss, auc)`` at each of the ``evaluations``.
        show : a progress bar in terminals and notebooks; where the output is a file, a line at each evaluation.

        DataError if the log leaves nothing to train or test on; Diverged if the loss is NaN or infinite.
        """
        return self._take(fit(checked_log(log), self.config, callback=callback, show=show).trained)

    def update(self, log: Log, *, epochs: int = 1, callback: Callback | None = None, show: bool = False, **settings: Any) -> Self:
        """Continues the training on a log that has grown: new events, users, objects, actions, values of features.

        What the model knows keeps its parameters. What is new starts as in a new model. The learning rate starts and falls as
        in a new run with this number of epochs. A lower rate, such as a tenth, changes less of what the model knows.

        Parameters
        ----------
        log : all events, the old ones too: they are the histories of the new ones, and they are trained on again. With a log
            of new events alone, users have no older history, and the model forgets the old events.
        epochs : passes over all training samples of the log.
        callback, show : as for `fit`. **settings : those that differ from before, such as ``learning_rate=0.1``.

        ArgumentError for a setting that needs other parameters, such as the width. DataError for a log without the groups and
        features of the model.
        """
        config = checked(replace, self._fitted().config, epochs=epochs, **settings)
        resume, numbered = warm_start(self._fitted(), checked_log(log), config)
        return self._take(fit(numbered, config, resume=resume, callback=callback, show=show).trained)

    def evaluate(self, log: Log, *, at: Sequence[int] = (5, 10, 20), show: bool = False) -> dict[str, Any]:
        """The test figures on a log: each user's last event of a target group is ranked from the events before it.

        Parameters
        ----------
        log : that of the training, or another one with the same groups and features.
        at : each k of the metrics over the whole catalogue; empty: without these metrics, which take longest.
        show : a progress bar.

        Returns
        -------
        ``test_auc`` and ``test_auc_se`` (one standard error), the controls ``popularity_auc``, ``swapped_history_auc``,
        ``in_history_auc``, ``features_shared_auc``, and for each k ``hr@k``, ``recall@k``, ``ndcg@k``, and ``mrr``.
        """
        ks = [arguments.whole("at", k, least=1) for k in arguments.items("at", at)]
        protocol = Protocol(self._known(log), self.config)
        with self._lock:
            backend = self._made_backend()
            scores = score(backend, protocol, protocol.task)
            report = report_of(backend, protocol, protocol.task, scores)
            if ks:
                report |= rank_metrics(full_ranks(backend, protocol, protocol.test, show), ks)
        return report

    def recommend(
        self,
        log: Log | None = None,
        users: Iterable[str] | None = None,
        *,
        history: Sequence[str] | None = None,
        times: Sequence[int] | None = None,
        actions: Sequence[str] | None = None,
        n: int = 10,
        group: str | None = None,
        at: int | None = None,
        candidates: Iterable[str] | None = None,
        exclude_seen: bool | None = None,
        show: bool = False,
    ) -> tuple[Names, Floats]:
        """The best objects for users of a log, or for one history.

        Parameters
        ----------
        log : it may have grown since the training; an object that the model does not know counts as `unknown`.
        users : names of users; by default all, in the log's order.
        history : in place of log and users: names of objects, oldest first; may be empty. A name is searched in the groups
            that histories are made of, in their order. A name that no group has counts as `unknown`.
        times : of the history, in ticks of the log. By default the whole history has just happened.
        actions : of the history. By default the action that is most frequent in the object's group.
        n : how many objects.
        group : the target group that is ranked; by default the first of the schema.
        at : the time of ranking, in ticks: only behaviours before it count. By default one tick after the last.
        candidates : names of the objects that are ranked; by default all.
        exclude_seen : whether to leave out the objects of the history. By default yes, unless the schema keeps repeated targets.
        show : a progress bar.

        Returns
        -------
        ids : names, best first, [U, n], or [n] for a history; None where fewer than n objects are left.
        scores : float32 of the same shape, the logits f of (8); -inf where ids has None.

        ArgumentError for an unknown user, object, action or group, or arguments that do not go together.

        Examples
        --------
        >>> from atrank_np import CNN, datasets
        >>> log = datasets.load_shop()
        >>> model = CNN(epochs=1, evaluations=1, width=16, backend="numpy").fit(log)
        >>> model.recommend(log, users=["u7", "u8"], n=3)[0].shape
        (2, 3)
        >>> ids, scores = model.recommend(history=["i1", "i7"], candidates=["i2", "i3"], n=2)
        >>> sorted(ids)
        ['i2', 'i3']
        """
        n, trained = arguments.whole("n", n, least=1, below=2**20), self._fitted()
        group = target_group(trained.schema, group)
        if (log is None) == (history is None):
            raise ArgumentError("recommend: expected either a log, or a history")
        if log is None and users is not None or log is not None and (times is not None or actions is not None):
            raise ArgumentError("recommend: users go with a log, times and actions with a history")
        numbered = self._known(log) if log is not None else named_history(trained, history, times, actions)
        places = np.arange(len(numbered.users)) if users is None else places_of(numbered, arguments.names("users", users))
        some = None if candidates is None else mask_of(trained, group, arguments.names("candidates", candidates))
        asked = moments(trained, numbered, places, group, at)
        with self._lock:
            ids, scores = ranked_names(trained, self._made_backend(), asked, group, n, some, exclude_seen, show)
        return (ids, scores) if log is not None else (ids[0], scores[0])

    def similar_items(self, item: str, n: int = 5, *, group: str | None = None) -> tuple[Names, Floats]:
        """The objects whose embeddings have the largest cosine with that of an object.

        Parameters
        ----------
        item, group : the name of an object, and its group; by default the first target group.
        n : how many objects.

        Returns
        -------
        ids, cosines : [n], the most similar object first; fewer where the group has fewer. ArgumentError for an unknown object.
        """
        n, trained = arguments.whole("n", n, least=1), self._fitted()
        found = nearest(trained, target_group(trained.schema, group), item, n)
        return np.array([name for name, _ in found], object), np.array([cosine for _, cosine in found])

    def attention(
        self, log: Log, user: str, item: str | None = None, *, group: str | None = None, at: int | None = None
    ) -> tuple[Names, Floats]:
        """The vanilla attention (7) of one object to a user's history, in each of the K latent spaces.

        Parameters
        ----------
        log, user, group, at : as for `recommend`.
        item : the object that is ranked; by default the model's first choice.

        Returns
        -------
        ids : [n], names of the behaviours, oldest first.
        weights : float32 [K, n]; in each space they sum to 1. ArgumentError for a model without attention.
        """
        if self.model not in ("atrank", "bilstm_attention"):
            raise ArgumentError(f"attention: {type(self).__name__} has none")
        inside = look_inside(self._fitted(), self._known(log), user, item, at, group)
        catalogues = [self.trained_.catalogues[group.name].objects for group in self.trained_.schema.groups]
        names = [str(catalogues[g][row]) for g, row in zip(inside.batch.group, inside.batch.object)]
        return np.array(names, object), inside.vanilla_attention


class ATRank(Recommender):
    """ATRank (Zhou et al., AAAI 2018); see `Recommender` for arguments and methods."""

    model = "atrank"


class BPRMF(Recommender):
    """BPR-MF, a matrix factorisation (Rendle et al., UAI 2009); see `Recommender`. It ranks only for users of its training."""

    model = "bpr_mf"


class BiLSTM(Recommender):
    """A bidirectional LSTM over the history; see `Recommender`."""

    model = "bilstm"


class BiLSTMAttention(Recommender):
    """A bidirectional LSTM with vanilla attention; see `Recommender`."""

    model = "bilstm_attention"


class CNN(Recommender):
    """Convolutions over the history with max pooling; see `Recommender`."""

    model = "cnn"
