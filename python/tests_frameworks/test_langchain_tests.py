"""LangChain's own tests of retrievers."""

from __future__ import annotations

import pytest

unit = pytest.importorskip("langchain_tests.integration_tests")

from quarry.langchain import QuarryRetriever  # noqa: E402


class TestRetriever(unit.RetrieversIntegrationTests):
    @pytest.fixture(autouse=True)
    def _index(self, index):
        type(self)._opened = index

    @property
    def retriever_constructor(self):
        return QuarryRetriever

    @property
    def retriever_constructor_params(self):
        return {"index": self._opened}

    @property
    def retriever_query_example(self):
        return "why does bread go stale"
