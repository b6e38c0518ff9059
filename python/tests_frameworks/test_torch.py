"""sentence-transformers' form of search over tensors, and MTEB's protocol; these bring torch."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.sparse as sp

import quarry

torch = pytest.importorskip("torch")


@pytest.fixture(scope="module")
def embeddings():
    random = np.random.default_rng(7)
    documents = sp.random(200, 1000, density=0.03, random_state=random, dtype=np.float32, format="csr")
    queries = sp.random(20, 1000, density=0.02, random_state=random, dtype=np.float32, format="csr")
    return documents, queries


def tensor(matrix):
    coo = matrix.tocoo()
    return torch.sparse_coo_tensor(np.vstack([coo.row, coo.col]), coo.data, matrix.shape)


def test_semantic_search(embeddings):
    from quarry.sentence_transformers import semantic_search_quarry

    documents, queries = embeddings
    results, seconds, index = semantic_search_quarry(
        tensor(queries), corpus_embeddings=tensor(documents), top_k=5, output_index=True,
        search_kwargs={"method": "exact"},
    )
    products = (queries @ documents.T).toarray()
    assert seconds > 0 and len(results) == 20
    for row, hits in zip(products, results):
        wanted = np.sort(row)[::-1][:5]
        assert [hit["score"] for hit in hits] == pytest.approx(wanted[wanted > 0].tolist(), rel=1e-3)
        assert [row[hit["corpus_id"]] for hit in hits] == pytest.approx([hit["score"] for hit in hits], rel=1e-3)
    decoded = [[(str(c), float(w)) for c, w in zip(row.indices, row.data)] for row in queries]
    named = [[(str(c), float(w)) for c, w in zip(row.indices, row.data)] for row in documents]
    again, _ = semantic_search_quarry(decoded, corpus_embeddings=named, top_k=5, search_kwargs={"method": "exact"})
    assert [[hit["corpus_id"] for hit in hits] for hits in again] == [[hit["corpus_id"] for hit in hits] for hits in results]
    same, _ = semantic_search_quarry(list(tensor(queries)), corpus_index=index, top_k=5, search_kwargs={"method": "exact"})
    assert same == results


def test_mtebs_protocol(corpus, figures, questions, qrels):
    mteb = pytest.importorskip("mteb")
    import quarry.mteb

    model = quarry.mteb.Search(build={"tune": False})
    protocol = getattr(mteb.models, "SearchProtocol", None)
    assert protocol is None or isinstance(model, protocol)
    model.index([{"id": id, **record} for id, record in corpus.items()])
    found = model.search([{"id": id, "text": text} for id, text in questions.items()], top_k=100)
    assert quarry.evaluate(found, qrels)["nDCG@10"] == pytest.approx(figures["sparse"]["nDCG@10"], abs=1e-6)
