"""Networks: generators, translators, critics and classifiers."""
