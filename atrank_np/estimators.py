"""The five models as classes with one set of methods, for scripts and notebooks."""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from . import arguments
from .arrays import Floats
from .datasets.log import Log
from .datasets.protocol import Protocol
from .errors import ArgumentError, checked
from .evaluation.attention import look_inside, nearest
from .evaluation.ranking import full_ranks, moments, named_history, objects_of, places_of, ranked, target_group
from .evaluation.report import report_of
from .evaluation.scoring import score
from .holder import Holder, checked_log
from .metrics import rank_metrics
from .runs import checkpoint
from .runs.growth import warm_start
from .training import Callback, fit

Names = NDArray[np.object_]


class Recommender(Holder):
    """What the five models share. Use one of `ATRank`, `BPRMF`, `BiLSTM`, `BiLSTMAttention`, `CNN`.

    After `fit`, `update` or `load`, several threads may use the same object.

    Parameters
    ----------
    purpose : {"ranking", "top-n"}
        Which defaults: those that sort two objects rightly most often (AUC), or those that fill the first places of the
        whole catalogue best.
    **settings
        Fields of `atrank_np.config.Config` that differ from these defaults, such as ``epochs=5``, ``seed=1``,
        ``width=64``, ``threads=1``, ``variant="printed"`` (ATRank alone).

    Attributes
    ----------
    config : Config
        All settings.
    trained_ : Trained
        The parameters by name, and all that belongs to them.

    Raises
    ------
    ArgumentError
        A ValueError and an AtrankError: a setting that there is not, or a value that no run can have.

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
        log : Log
            From `read_log`, `Log.from_frame` or `datasets.load_shop`.
        callback : callable, optional
            Called as ``callback(step, loss, auc)`` at each of the ``evaluations``.
        show : bool
            A progress bar in terminals and notebooks; where the output is a file, a line at each evaluation.

        Raises
        ------
        DataError, Diverged
            The log leaves nothing to train or test on; the loss is NaN or infinite.
        """
        return self._take(fit(checked_log(log), self.config, callback=callback, show=show).trained)

    def update(self, log: Log, *, epochs: int = 1, callback: Callback | None = None, show: bool = False, **settings: Any) -> Self:
        """Goes on with the training on a log that has grown: new events, users, objects, actions, values of features.

        What the model knows keeps its parameters; what is new starts as in a new model. The learning rate starts and falls as
        in a new run of so many epochs; a lower one, such as a tenth, disturbs less of what is known.

        Parameters
        ----------
        log : Log
            All events, the old ones too: they are the histories of the new ones, and they are trained on again. A log of new
            events alone is taken as it is: its users have no other history, and the model forgets the old ones.
        epochs : int
            Passes over all training samples of the log.
        callback, show, **settings
            As for `fit` and for the class: settings that differ from before, such as ``learning_rate=0.1``.

        Raises
        ------
        ArgumentError, DataError
            A setting that needs other parameters, such as the width; a log without the model's groups and features.
        """
        config = checked(replace, self._fitted().config, epochs=epochs, **settings)
        resume, numbered = warm_start(self._fitted(), checked_log(log), config)
        return self._take(fit(numbered, config, resume=resume, callback=callback, show=show).trained)

    def evaluate(self, log: Log, *, at: Sequence[int] = (5, 10, 20), show: bool = False) -> dict[str, Any]:
        """The test figures on a log: each user's last event of a target group is ranked from the events before it.

        Parameters
        ----------
        log : Log
            That of the training, or another one with the same groups and features.
        at : sequence of int
            The k of the metrics over the whole catalogue; empty: without these metrics, which take longest.
        show : bool
            A progress bar.

        Returns
        -------
        dict
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
        log : Log
            It may have grown since the training; an object that the model does not know counts as `unknown`.
        users : iterable of str, optional
            Names of users; by default all, in the log's order.
        history : sequence of str
            In place of log and users: names of objects, oldest first; may be empty. A name is looked up in the groups that
            histories are made of, in their order; one that is in none counts as `unknown`.
        times : sequence of int, optional
            Of the history, in ticks of the log. By default all of it has just happened.
        actions : sequence of str, optional
            Of the history. By default the action that is most frequent in the object's group.
        n : int
            How many objects.
        group : str, optional
            The target group that is ranked; by default the first of the schema.
        at : int, optional
            The time of ranking, in ticks: only behaviours before it count. By default one tick after the last.
        candidates : iterable of str, optional
            Names of the objects that are ranked; by default all.
        exclude_seen : bool, optional
            Without the objects of the history. By default so, unless the schema keeps repeated targets.
        show : bool
            A progress bar.

        Returns
        -------
        ids : array of object [U, n], or [n] for a history
            Names, best first; None where fewer than n objects are left.
        scores : array of float32 [U, n], or [n]
            The logits f of (8); -inf where ids has None.

        Raises
        ------
        ArgumentError
            A user, object, action or group that there is not, or arguments that do not go together.

        Examples
        --------
        >>> from atrank_np import CNN, datasets
        >>> log = datasets.load_shop()
        >>> model = CNN(epochs=1, evaluations=1, width=16, backend="numpy").fit(log)
        >>> ids, scores = model.recommend(log, users=["u7", "u8"], n=3)
        >>> ids.shape, scores.shape
        ((2, 3), (2, 3))
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
        objects, mask = trained.catalogues[group].objects, None
        if candidates is not None:
            mask = np.isin(np.arange(len(objects)), objects_of(trained, group, arguments.names("candidates", candidates)))
        asked = moments(trained, numbered, places, group, at)
        ids, scores = np.full((len(places), n), None, object), np.full((len(places), n), -np.inf, np.float32)
        with self._lock:
            for block, rows, values in ranked(trained, self._made_backend(), asked, n, mask, exclude_seen, show):
                names = objects[rows].astype(object)
                names[rows == 0] = None
                ids[block], scores[block] = names, values
        return (ids, scores) if log is not None else (ids[0], scores[0])

    def similar_items(self, item: str, n: int = 5, *, group: str | None = None) -> tuple[Names, Floats]:
        """The objects whose embeddings have the largest cosine with that of an object.

        Parameters
        ----------
        item, n, group
            The name of an object, how many are wanted, and the object's group; by default the first target group.

        Returns
        -------
        ids : array of object [n], cosines : array of float [n]
            Names, most similar first; fewer where the group has fewer. ArgumentError for an object that there is not.
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
        log, user, group, at
            As for `recommend`.
        item : str, optional
            The object that asks; by default the model's first choice.

        Returns
        -------
        ids : array of object [n], weights : array of float32 [K, n]
            Names of the behaviours, oldest first; in each space the weights sum to 1. ArgumentError without attention.
        """
        if self.model not in ("atrank", "bilstm_attention"):
            raise ArgumentError(f"attention: {type(self).__name__} has none")
        inside = look_inside(self._fitted(), self._known(log), user, item, at, group)
        catalogues = [self.trained_.catalogues[group.name].objects for group in self.trained_.schema.groups]
        names = [str(catalogues[g][row]) for g, row in zip(inside.batch.group, inside.batch.object)]
        return np.array(names, object), inside.vanilla_attention

    def save(self, path: str | Path) -> None:
        """Writes the model into one file, an .npz of plain arrays.

        >>> model.save("m.npz"), ATRank.load("m.npz")  # doctest: +SKIP
        """
        checkpoint.save(path, self._fitted())

    @classmethod
    def load(cls, path: str | Path) -> Self:
        """The model of a file that `save` wrote, or of a run folder that the command train wrote.

        `Recommender.load` takes any model. DataError if there is none, or it is not whole; ArgumentError for another model.
        """
        trained = checkpoint.load(path)
        of = {kind.model: kind for kind in Recommender.__subclasses__()}[trained.config.model]
        if not issubclass(of, cls):
            raise ArgumentError(f"{path}: expected a model of the class {cls.__name__}, found {of.__name__}")
        return of()._take(trained)


class ATRank(Recommender):
    """ATRank (Zhou et al., AAAI 2018); see `Recommender` for arguments and methods."""

    model = "atrank"


class BPRMF(Recommender):
    """BPR-MF, a matrix factorisation (Rendle et al., UAI 2009); see `Recommender`. It ranks for users that it was trained on."""

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
