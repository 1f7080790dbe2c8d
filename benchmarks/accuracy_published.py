"""Root mean squared errors on MovieLens 100K that others published, with what they were measured on."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Published:
    """One number.

    Attributes:
        what: the model.
        rmse: as it stands in the source.
        protocol: what it was measured on; numbers compare only where this is the same.
        source: where it can be read.
    """

    what: str
    rmse: str
    protocol: str
    source: str


_MYFM_DOC = "myFM, doc/source/movielens.rst and its notebooks"
_MYFM_EXTENDED = "myFM, examples/ml-100k-extended.ipynb"
_SURPRISE = "Surprise, README"
_RECOMMENDERS = "Recommenders, README"

PUBLISHED = (
    Published("myFM, factorisation", "0.8944", "u3", _MYFM_DOC),
    Published("myFM, grouped", "0.8925", "u3", _MYFM_DOC),
    Published("myFM, tables of users and films", "0.8855", "u3", _MYFM_DOC),
    Published("myFM, time, history of both sides, tables", "0.8833", "u1", _MYFM_EXTENDED),
    Published("the same, ordered probit", "0.8808", "u1", _MYFM_EXTENDED),
    Published("GLocal-K", "0.8889", "u1; the best epoch by the test part", "GLocal-K, GLocal_K.ipynb"),
    Published("Surprise SVD++", "0.919", "random 5-fold", _SURPRISE),
    Published("Surprise KNNBaseline", "0.931", "random 5-fold", _SURPRISE),
    Published("Surprise SVD", "0.934", "random 5-fold", _SURPRISE),
    Published("Surprise BaselineOnly", "0.944", "random 5-fold", _SURPRISE),
    Published("Surprise SVD", "0.939", "random 75/25, stratified", _RECOMMENDERS),
    Published("Spark ALS", "0.965", "random 75/25, stratified", _RECOMMENDERS),
    Published("fastai's embedding dot bias, ported", "0.993", "random 75/25, stratified", _RECOMMENDERS),
)
