"""The pipelines: options → frozen config → ``build(pipeline, config)`` → run."""

import logging

# Beam says at each import that TFRecord files, which nothing here reads, would be slow to check.
logging.getLogger().addFilter(lambda record: "crcmod" not in record.getMessage())
# The DirectRunner repeats each worker's log in its own.
logging.getLogger("apache_beam.runners.portability.local_job_service").setLevel(logging.CRITICAL)
# Options that only the Java side knows are announced as unparseable, then passed on all the same.
logging.getLogger("apache_beam.options.pipeline_options").setLevel(logging.ERROR)
