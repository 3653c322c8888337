"""Models: layers composed, with parameters by name, `forward` to scores and `backward` to gradients."""

from .bilstm import BiLSTM, BiLSTMAttention
from .bpr_mf import BPRMF
from .cnn import CNN
from .variants import CLASSES


def make_space(config, *about):
    """The CommonSpace of config.variant; about: what its constructor takes."""
    _, space = CLASSES[config.variant]
    return space(*about)


def make_model(config, space, users):
    """The model that config.model names, over a CommonSpace; users: rows of a table of users, the unknown one included."""
    if config.model == "atrank":
        model, _ = CLASSES[config.variant]
        return model(space, config.spaces, config.ranking)
    if config.model == "bilstm_attention":
        return BiLSTMAttention(space, config.spaces, config.ranking)
    if config.model == "bpr_mf":
        return BPRMF(space, users)
    return {"bilstm": BiLSTM, "cnn": CNN}[config.model](space, config.ranking)
