"""The pipelines: options → frozen config → ``build(pipeline, config)`` → run."""

import logging

# Beam says at each import that TFRecord files, which nothing here reads, would be slow to check.
logging.getLogger().addFilter(lambda record: "crcmod" not in record.getMessage())
